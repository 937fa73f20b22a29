#!/usr/bin/env bash
# Installs the Debian packages that the build, the tests and the report need, if any is missing.
set -euo pipefail

packages=(build-essential cmake libeigen3-dev libtbb-dev libfmt-dev librandom123-dev doctest-dev libnetcdf-dev
          libudunits2-dev nlohmann-json3-dev libcli11-dev libtomlplusplus-dev gnuplot-nox "$@")

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "install these (names of Debian packages): ${missing[*]}" >&2
  exit 2
fi
echo "installing: ${missing[*]}"
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
