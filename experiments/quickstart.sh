#!/usr/bin/env bash
# From a fresh Debian 12 to a calibrated analysis of a tsunami: installs what is missing, builds, runs the small preset
# with the shipped weights, prints the scores. About eight minutes on two cores, six of them for the build; downloads excluded.
set -euo pipefail
cd "$(dirname "$0")/.."

experiments/install_packages.sh
cmake --preset release -DLEVDA_CUDA=OFF >/dev/null  # kernels would take longer than all the rest
cmake --build --preset release --target levda --parallel "$(nproc)"
build/levda run tsunami --preset small "$@"
