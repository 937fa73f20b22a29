#!/usr/bin/env bash
# SIGINT, SIGTERM and SIGHUP stop every command with exit code 128 + signal, soon and without half a file; a training
# leaves a checkpoint.
#   tests/experiments/signals.sh PROGRAM
set -euo pipefail
program=$(realpath "$1")
tiny=$(realpath "$(dirname "$0")/tiny.toml")

folder=$(mktemp -d)
cd "$folder"
die() { echo "$1"; exit 1; }
sed 's/^train = .*/train = 100/' "$tiny" >base.toml
case="tsunami --config base.toml"
"$program" generate $case --out base 2>/dev/null
"$program" train $case --out base 2>/dev/null
inputs="--data base/data.nc --weights base/weights.safetensors"
mkfifo endless.toml endless.csv
sleep 1000 >endless.toml &  # a writer that never writes: whoever reads waits
writers=$!
sleep 1000 >endless.csv &
writers="$writers $!"
declare -A processes
trap '{ kill -KILL $writers "${processes[@]}"; wait; } 2>/dev/null; rm -rf "$folder"' EXIT

# start NAME command...: in the background; its messages go to NAME.said.
start() {
  "$program" "${@:2}" >"$1.printed" 2>"$1.said" &
  processes[$1]=$!
}
# await NAME command...: until the command succeeds.
await() {
  for ((i = 0; i < 1000; ++i)); do
    if "${@:2}"; then return; fi
    kill -0 "${processes[$1]}" 2>/dev/null || die "$1: ended before the signal: $(cat "$1.said")"
    sleep 0.02
  done
  die "$1: not so far after 20 s: $(cat "$1.said")"
}
# SIGTERM has a handler: bit 14.
prepared() { grep -qs '^SigCgt:.*[4-7c-f]...$' "/proc/${processes[$1]}/status"; }
# ended NAME CODE: the exit code after a signal, and what was said.
ended() {
  local found=0
  wait "${processes[$1]}" || found=$?
  [ $found = "$2" ] || die "$1: exit code $found, not $2: $(cat "$1.said")"
  tail -1 "$1.said" | grep -q '^levda: stopped' || die "$1: said $(cat "$1.said")"
}
soon() { [ $(($(date +%s) - begin)) -le 8 ] || die "$(($(date +%s) - begin)) s after the signal"; }

# Every command, in its beginning.
commands="generate train observe encode assimilate report calibrate compare sweep run keys"
for name in $commands; do
  more=
  if [ $name = sweep ]; then more="--over members=3,4"; fi
  start $name $name tsunami $more --config endless.toml
done
for name in $commands; do await $name prepared $name; done
begin=$(date +%s)
for name in $commands; do kill -TERM "${processes[$name]}"; done
for name in $commands; do ended $name 143; done
soon

# In the middle of the work. Each would take far longer than this test.
awk 'BEGIN {
  srand(3)
  print "time,x,y,channel,value,error_std"
  for (i = 0; i < 6000; ++i) printf "%.1f,%.0f,%.0f,eta,%.2f,0.1\n", 4000 * rand(), 1e5 * rand(), 1e5 * rand(), rand()
}' >many.csv
start reading assimilate $case --weights base/weights.safetensors --observations endless.csv --out reading
start analysis assimilate $case --weights base/weights.safetensors --observations many.csv --out analysis \
  --set assimilation.members=100 --set assimilation.starts=90 --set assimilation.candidates=90
start training train $case --set training.steps=4999 --set training.trajectories=8 --set training.points=64 \
  --set checkpoint_seconds=1000 --data base/data.nc --out training
start encoder encode $case --set encoder.steps=100000 --set checkpoint_seconds=1000 $inputs --out encoder
start solver generate $case --set data.train=2000 --set data.nodes=128 --set data.steps_per_frame=60 --out solver
start compared compare $case --seeds 500 $inputs --out compared
start swept sweep $case --over members=3,4 --seeds 500 $inputs --out swept
for name in training encoder solver; do await $name grep -qs ETA $name.said; done
for name in compared swept; do await $name grep -qs 'compare: ' $name.said; done
for name in reading analysis; do await $name prepared $name; done
begin=$(date +%s)
for name in training solver; do kill -TERM "${processes[$name]}"; done
for name in encoder compared; do kill -HUP "${processes[$name]}"; done
for name in swept reading analysis; do kill -INT "${processes[$name]}"; done
for name in training solver; do ended $name 143; done
for name in encoder compared; do ended $name 129; done
for name in swept reading analysis; do ended $name 130; done
soon
[ -s training/training.checkpoint.safetensors ] || die "the training left no checkpoint"
[ -s encoder/encoder-cold.checkpoint.safetensors ] || die "the encoder's training left no checkpoint"
[ -z "$(find . -name '*.tmp-*')" ] || die "left behind: $(find . -name '*.tmp-*')"

# A second signal ends work at once that does not leave by itself, and nohup's SIGHUP stays ignored.
nohup "$program" keys tsunami --config endless.toml >nohup.printed 2>nohup.said &
processes[nohup]=$!
await nohup prepared nohup
kill -HUP "${processes[nohup]}"
sleep 0.3
kill -TERM "${processes[nohup]}"
sleep 0.3
kill -TERM "${processes[nohup]}"
sleep 0.2
if grep -qs '^State:.[^Z]' "/proc/${processes[nohup]}/status"; then die "a second signal did not end it at once"; fi
ended nohup 143
