#!/usr/bin/env bash
# Copies the headers of other people's that levda is built with into a folder, for a machine without packages:
#   experiments/bench/collect_headers.sh FOLDER          here, where the Debian packages are installed
#   cmake -S . -B build -DLEVDA_DEPS_DIR=FOLDER          there
# Eigen, fmt, Random123, nlohmann/json, CLI11, toml++ and doctest, whole but for what none of our files can reach: about 10 MB.
# oneTBB and netCDF-C are libraries, which do not travel; see LEVDA_TBB and LEVDA_NETCDF in CMakeLists.txt.
set -euo pipefail
folder=${1:?which folder?}

"$(dirname "$0")/../install_packages.sh"
rm -rf "$folder"/{Eigen,fmt,Random123,nlohmann,CLI,toml++,doctest}
mkdir -p "$folder"
for library in eigen3/Eigen fmt Random123 nlohmann CLI toml++ doctest; do
  found=
  for root in /usr/include /usr/local/include; do
    [ -d "$root/$library" ] && found=$root/$library && break
  done
  [ -n "$found" ] || { echo "no folder $library in /usr/include or /usr/local/include" >&2; exit 2; }
  cp -rL "$found" "$folder/"
done
rm -rf "$folder"/Random123/conventional "$folder"/Eigen/src/{*Support,SuperLUSupport}

size=$(du -sk "$folder" | cut -f1)
echo "$folder: $((size / 1024)).$((size % 1024 * 10 / 1024)) MB"
[ "$size" -lt 30000 ] || { echo "more than 30 MB" >&2; exit 1; }
