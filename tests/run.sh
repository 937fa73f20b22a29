#!/usr/bin/env bash
# Installs missing packages, builds and runs the tests, except those with the label slow. Warnings are errors here.
#   tests/run.sh [PRESET [CMAKE OPTIONS]]    release (default), debug (address and undefined-behaviour sanitizers), portable (libraries alone, no AVX2)
#   tests/run.sh --tsan      under the thread sanitizer
#   tests/run.sh --gpu [--build-only]    builds with CUDA into build-gpu/ and runs the GPU's tests; with LEVDA_DEPS_DIR=FOLDER
#                            from headers alone (experiments/bench/collect_headers.sh). bench/gpu.sh does more
#   tests/run.sh --fuzz [SECONDS [JOBS]]    runs the readers of files on random input instead, see fuzz/run.sh
#   tests/run.sh --parity    compares with PyTorch instead, see parity/run.sh
set -euo pipefail
cd "$(dirname "$0")/.."

test_gpu() {
  local options=()
  if [ -n "${LEVDA_DEPS_DIR:-}" ]; then options+=(-DLEVDA_DEPS_DIR="$LEVDA_DEPS_DIR"); else experiments/install_packages.sh; fi
  command -v nvcc >/dev/null || export CUDACXX=${CUDACXX:-/usr/local/cuda/bin/nvcc}
  command -v make >/dev/null || export CMAKE_GENERATOR=Ninja
  local capability  # "9.0": for this GPU alone
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | sed -n '1s/\.//p') || true
  [[ ! $capability =~ ^[0-9]+$ ]] || options+=(-DCMAKE_CUDA_ARCHITECTURES="$capability-real")
  cmake --preset gpu "${options[@]}" >/dev/null
  cmake --build --preset gpu --parallel "$(nproc)" --target test_gpu levda levda_gpu_bench
  [ "${1:-}" = --build-only ] || ctest --preset gpu --no-tests=error
}

case ${1:-} in
  --fuzz) exec tests/fuzz/run.sh "${@:2}" ;;
  --tsan) set -- tsan ;;
  --gpu)
    test_gpu "${2:-}"
    exit
    ;;
  --parity) exec tests/parity/run.sh "${@:2}" ;;
esac

preset=${1:-release}
experiments/install_packages.sh ninja-build python3-xarray python3-netcdf4  # the last two for the README's examples
# Make builds one library after the other, so that one long file delays all others.
export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}
cmake --preset "$preset" -DLEVDA_WERROR=ON "${@:2}" >/dev/null
cmake --build --preset "$preset" --parallel "$(nproc)"
ctest --preset "$preset"
