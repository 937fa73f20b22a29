#!/usr/bin/env bash
# What the program can do in a build without NetCDF: generate and train; all else is refused in one line.
#   tests/offline/without_netcdf.sh LEVDA FOLDER    FOLDER is emptied first
set -euo pipefail
levda=$(realpath "$1")
rm -rf "$2"
mkdir -p "$2"
cd "$2"

case=(tsunami)
for setting in data.nodes=16 data.frames=6 data.steps_per_frame=60 data.train=8 data.valid=2 data.test=2 \
    surrogate.latent=3 surrogate.fourier_features=4 surrogate.dynamics_width=8 surrogate.dynamics_depth=1 \
    surrogate.decoder_width=8 surrogate.decoder_depth=2 training.steps=300 training.trajectories=2 training.points=8 \
    observations.truths=2 observations.sensors=grid:4x4 assimilation.members=4 assimilation.frames=3 \
    assimilation.window=3 assimilation.shift=3 assimilation.start_min=1 assimilation.start_max=2; do
  case+=(--set "$setting")
done

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
