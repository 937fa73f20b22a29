#!/usr/bin/env bash
# Builds from a folder of headers, without packages, oneTBB, netCDF-C and CUDA, and runs the tests of that build. Some
# minutes: all is compiled once more.
#   tests/offline/test.sh FOLDER    for the headers and the build; what is there of an earlier run is built upon
# The packages are there on this machine, so that they could be used by accident: CMake is forbidden to look for any, and
# afterwards no object may depend on a header of theirs.
set -euo pipefail
mkdir -p "$1"
folder=$(realpath "$1")
cd "$(dirname "$0")/../.."

experiments/bench/collect_headers.sh "$folder/headers"
packages=(Eigen3 TBB fmt nlohmann_json CLI11 tomlplusplus doctest)
disabled=("${packages[@]/#/-DCMAKE_DISABLE_FIND_PACKAGE_}")
disabled=("${disabled[@]/%/=ON}")
cmake -S . -B "$folder/build" -G "Unix Makefiles" -DCMAKE_BUILD_TYPE=Release -DLEVDA_DEPS_DIR="$folder/headers" -DLEVDA_TBB=OFF \
  -DLEVDA_NETCDF=OFF -DLEVDA_CUDA=OFF "${disabled[@]}" >/dev/null
cmake --build "$folder/build" --parallel "$(nproc)"

foreign=$(find "$folder/build" -name '*.o.d' -exec cat {} + | tr ' ' '\n' | grep -E '^/usr/(local/)?include/' |
  grep -E '/(eigen3|Eigen|fmt|Random123|nlohmann|CLI|toml\+\+|doctest|tbb|oneapi)/|netcdf|hdf5|udunits' | sort -u || true)
[ -z "$foreign" ] || { printf 'headers of packages were used:\n%s\n' "$foreign" >&2; exit 1; }
used=$(find "$folder/build" -name '*.o.d' -exec cat {} + | tr ' ' '\n' | grep -c "/headers/" || true)
[ "$used" -gt 0 ] || { echo "no dependency files: the check saw nothing" >&2; exit 1; }
if ldd "$folder/build/levda" | grep -E 'tbb|netcdf|hdf5|udunits|fmt'; then exit 1; fi

ctest --test-dir "$folder/build" --output-on-failure -LE slow
