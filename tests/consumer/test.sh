#!/usr/bin/env bash
# Installs a finished build into a folder, then configures, builds and runs the project consumer/ and the programs of
# examples/ with it.
#   tests/consumer/test.sh BUILD FOLDER    FOLDER is emptied first
set -euo pipefail
source=$(cd "$(dirname "$0")" && pwd)
build=$1
folder=$(realpath -m "$2")

rm -rf "$folder"
cmake --install "$build" --prefix "$folder/prefix" >/dev/null

# The installed libraries need threads and fmt only: their files name no other package, and CMake may not look for one.
private='CLI11|CLI/|tomlplusplus|toml\+\+|netcdf|nlohmann|Eigen3|Eigen/|Random123'
find "$folder/prefix" -name 'levda*.cmake' | grep -q . || { echo "no package files are installed" >&2; exit 1; }
if find "$folder/prefix" \( -name 'levda*.cmake' -o -name '*.h' \) -exec grep -inE "$private" {} +; then exit 1; fi
disabled=()
for package in CLI11 tomlplusplus netCDF nlohmann_json Eigen3; do
  disabled+=("-DCMAKE_DISABLE_FIND_PACKAGE_$package=ON")
done

# Another build type than that of the libraries, and the compiler's default flags.
cmake -S "$source" -B "$folder/build" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_PREFIX_PATH="$folder/prefix" "${disabled[@]}" >/dev/null
cmake --build "$folder/build" --parallel 2
ctest --test-dir "$folder/build" --output-on-failure --no-tests=error
