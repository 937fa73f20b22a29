#!/usr/bin/env bash
# Kills generate, train, assimilate and run of a tiny case at random moments, repeats each command until it is through, and
# compares all files with those of commands that nobody killed.
#   tests/slow/kills.sh LEVDA FOLDER [KILLS [SEED]]    50 kills; FOLDER is emptied first
set -euo pipefail

levda=$(realpath "$1")
kills=${3:-50}
seed=${4:-$(date +%s)}
rm -rf "$2"
mkdir -p "$2/whole" "$2/killed"
cd "$2"
RANDOM=$((seed % 32768))
echo "seed $seed"

# Networks as small as can be, and as much work as makes each command take about a second.
cat >case.toml <<END
checkpoint_seconds = 0.05
shard_megabytes = 0.5
data = {nodes = 32, frames = 12, steps_per_frame = 60, train = 80, valid = 4, test = 12}
surrogate = {latent = 3, fourier_features = 4, dynamics_width = 8, dynamics_depth = 1, decoder_width = 8, decoder_depth = 2}
training = {steps = 2000, trajectories = 2, points = 8}
observations = {truths = 12, sensors = "grid:4x4"}
assimilation = {members = 6, frames = 6, window = 6, shift = 6, start_min = 1, start_max = 4}
END
case=(tsunami --out run --config ../case.toml)

now() { echo $((${EPOCHREALTIME/./} / 1000)); }  # ms

# Seconds and dates are all that may differ; the rest of a file is compared byte by byte.
#   *.json                lines "seconds", "seconds_error", "train_seconds"
#   weights.safetensors   when it was trained, how long and how fast, in the metadata; data begin where the header ends
#   report.html           the lines "Trained" and "Program", the column "s", which is the last but one
comparable() {
  case $1 in
    *.json) sed -E '/"(seconds|seconds_error|train_seconds)":/d' "$1" ;;
    *.safetensors)
      local header
      header=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
      tail -c +9 "$1" | head -c "$header" |
        sed -E 's/"(trained|train_seconds|train_gflops|product_gflops)":"[^"]*"//g; s/ *$//'
      tail -c +$((9 + header)) "$1"
      ;;
    *.html)
      sed -E '/<th scope="row">(Trained|Program)</d
        /<th scope="row">(free|climatology|lookup|levda)</s|<td>[^<]*</td>(<td>[^<]*</td></tr>)$|\1|' "$1"
      ;;
    *) cat "$1" ;;
  esac
}

# through FOLDER STAGE: the command as a user gives it, to its end.
through() {
  if ! (cd "$1" && "$levda" "$2" "${case[@]}" >>log 2>&1); then
    tail -n 5 "$1/log"
    echo "$2 failed"
    exit 1
  fi
}

# Everything in the two folders, files of killed processes included, must be the same.
compare() {
  local files
  files=$(cd whole && find run -type f ! -name .lock | sort)
  if ! diff <(echo "$files") <(cd killed && find run -type f ! -name .lock | sort); then
    echo "$1: not the same files"
    exit 1
  fi
  for file in $files; do
    if ! cmp <(comparable "whole/$file") <(comparable "killed/$file"); then
      echo "$1: $file differs"
      exit 1
    fi
  done
}

# stage NAME KILLS OUTPUTS...: measures the command, then kills it at moments drawn from that time and repeats it. When it gets
# to its end all is compared, the outputs are removed, and it starts anew.
stage() {
  local name=$1 wanted=$2 outputs=("${@:3}")
  local begin duration count=0 runs=0
  begin=$(now)
  through whole "$name"
  duration=$(($(now) - begin))
  while [ "$count" -lt "$wanted" ]; do
    local moment=$((RANDOM * duration / 32768)) code=0
    (cd killed && exec setsid "$levda" "$name" "${case[@]}" >>log 2>&1) &
    local process=$!
    sleep "$((moment / 1000)).$(printf %03d $((moment % 1000)))"
    kill -KILL -- "-$process" 2>/dev/null || kill -KILL "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || code=$?
    case $code in
      137) count=$((count + 1)) ;;
      0)
        compare "$name"
        runs=$((runs + 1))
        (cd killed/run && rm -r "${outputs[@]}")
        ;;
      *)
        tail -n 5 killed/log
        echo "$name failed"
        exit 1
        ;;
    esac
  done
  through killed "$name"
  compare "$name"
  echo "$name: $count kills within its $duration ms, $((runs + 1)) times to its end, all files the same"
}

quarter=$((kills / 4))
stage generate "$quarter" data.nc data
stage train "$quarter" weights.safetensors
through whole observe
through killed observe
stage assimilate "$quarter" analysis results.json
rm -r whole/run killed/run
mkdir -p killed/run
stage run $((kills - 3 * quarter)) data.nc data weights.safetensors observations analysis results.json report.html
