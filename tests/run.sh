#!/usr/bin/env bash
# Installs what is missing, builds and runs the tests; those labelled slow are left out.
#   tests/run.sh [PRESET]    release (default), debug (address and undefined-behaviour sanitizers), portable (libraries alone, no AVX2)
#   tests/run.sh --tsan      under the thread sanitizer
#   tests/run.sh --fuzz [SECONDS [JOBS]]    the readers of files on random input instead, see fuzz/run.sh
#   tests/run.sh --parity    compares with PyTorch instead, see parity/run.sh
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
  --fuzz) exec tests/fuzz/run.sh "${@:2}" ;;
  --tsan) set -- tsan ;;
  --parity) exec tests/parity/run.sh "${@:2}" ;;
esac

preset=${1:-release}
experiments/install_packages.sh python3-xarray python3-netcdf4  # for the README's examples
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" --parallel "$(nproc)"
ctest --preset "$preset"
