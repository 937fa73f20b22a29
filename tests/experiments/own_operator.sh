#!/usr/bin/env bash
# Assimilates observations that a Python script made, through all operators and through the user's own of
# experiments/README.md, with errors that are independent, banded and fully correlated.
#   tests/experiments/own_operator.sh PROGRAM    levda with that operator
# Exit code 77 (skipped) where Python has no xarray.
set -euo pipefail
program=$(realpath "$1")
script=$(realpath "$(dirname "$0")")/own_operator.py

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# The first python3 with the packages; Debian's need not be the first one of the path.
for python in $(type -ap python3); do
  "$python" -c 'import xarray, netCDF4' 2>/dev/null && break
  python=
done
if [ -z "$python" ]; then
  echo "skipped: needs the packages python3-xarray and python3-netcdf4"
  exit 77
fi
"$python" "$script"
"$program" train --data whirls.nc --out . --set training.steps=1500 --set surrogate.latent=4 \
  --set surrogate.decoder_width=32 --set surrogate.decoder_depth=4 --set surrogate.dynamics_width=32
for errors in seen band full; do
  echo "$errors:"
  "$program" assimilate --weights weights.safetensors --observations $errors.nc --out . | tee printed
  # The truth within four standard deviations, of which the prior had 0.29: it has learnt.
  awk '$1 == "drift" {
         good = $5 <= 0.03 && $3 - 0.8 <= 4 * $5 && 0.8 - $3 <= 4 * $5
       }
       END { if (!good) print "not the truth, 0.8"; exit !good }' printed
done
