#!/usr/bin/env bash
# Installs a finished build into a folder, then configures, builds and runs the project consumer/ with it.
#   tests/consumer/test.sh BUILD FOLDER    FOLDER is emptied first
set -euo pipefail
source=$(cd "$(dirname "$0")" && pwd)
build=$1
folder=$(realpath -m "$2")

rm -rf "$folder"
cmake --install "$build" --prefix "$folder/prefix" >/dev/null
# Another build type than ours, the compiler's default flags.
cmake -S "$source" -B "$folder/build" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_PREFIX_PATH="$folder/prefix" >/dev/null
cmake --build "$folder/build"
"$folder/build/consumer"
