#!/usr/bin/env bash
# What the program can do in a build without NetCDF: generate and train; all else is refused in one line.
#   tests/offline/without_netcdf.sh LEVDA FOLDER    FOLDER is emptied first
set -euo pipefail
levda=$(realpath "$1")
rm -rf "$2"
mkdir -p "$2"
cd "$2"

cat >case.toml <<END
data = {nodes = 16, frames = 6, steps_per_frame = 60, train = 8, valid = 2, test = 2}
surrogate = {latent = 3, fourier_features = 4, dynamics_width = 8, dynamics_depth = 1, decoder_width = 8, decoder_depth = 2}
training = {steps = 300, trajectories = 2, points = 8}
observations = {truths = 2, sensors = "grid:4x4"}
assimilation = {members = 4, frames = 3, window = 3, shift = 3, start_min = 1, start_max = 2}
END
case=(tsunami --config case.toml)

"$levda" generate "${case[@]}" --out run
"$levda" train "${case[@]}" --out run
"$levda" info run/data.safetensors >data.txt
grep -q '^trajectories: *8 for training, 2 for validation, 2 for tests$' data.txt
error=$("$levda" info run/weights.safetensors | sed -n 's/^test_rel_rmse: *//p')
echo "test_rel_rmse $error"
awk -v e="$error" 'BEGIN { exit !(e > 0 && e < 2) }'

# The number of threads makes no difference.
mkdir one
cp run/data.safetensors one/
"$levda" train "${case[@]}" --out one --threads 1
cmp <("$levda" info one/weights.safetensors | grep '^error of') <("$levda" info run/weights.safetensors | grep '^error of')

for stage in run observe assimilate report; do
  status=0
  "$levda" "$stage" "${case[@]}" --out run 2>message || status=$?
  [ "$status" -eq 2 ]
  [ "$(wc -l <message)" -eq 1 ]
  grep -q "^levda: levda $stage: NetCDF is needed" message
done
touch foreign.nc
status=0
"$levda" train --data foreign.nc --out two 2>message || status=$?
[ "$status" -eq 2 ]
grep -q '^levda: foreign.nc: NetCDF is needed' message
