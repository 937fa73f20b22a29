#!/usr/bin/env bash
# Standard streams that are full, closed or broken pipes; logs without control characters; outputs that are links;
# printed digits.
#   tests/experiments/terminal.sh PROGRAM
set -euo pipefail
program=$(realpath "$1")
tiny=$(realpath "$(dirname "$0")/tiny.toml")

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
levda() { "$program" "$@"; }
die() { echo "$1"; exit 1; }
# expect CODE WHAT command...: the exit code of the command.
expect() {
  local code=0
  "${@:3}" || code=$?
  [ $code = "$1" ] || die "$2: exit code $code, not $1"
}
case="tsunami --config $tiny"
levda generate $case --out base 2>log
levda train $case --out base 2>>log
awk 'BEGIN {
  srand(3)
  print "time,x,y,channel,value,error_std"
  for (i = 0; i < 40; ++i) printf "%d,%.0f,%.0f,eta,%.3f,0.1\n", 900 * (i % 6), 1e5 * rand(), 1e5 * rand(), rand()
}' >seen.csv
seen="assimilate $case --weights base/weights.safetensors --observations seen.csv"

# Digits: both of the two numbers end at the same place, and the error has two digits.
levda $seen --out plain >printed 2>>log
[ "$(wc -l <printed)" -ge 1 ] || die "no parameter was printed"
awk '{
  value = $3; error = $5
  if (value ~ /e/ || error ~ /e/) next
  sub(/^[^.]*[.]?/, "", value); sub(/^[^.]*[.]?/, "", error)
  if (length(value) != length(error)) { print "other places: " $0; exit 1 }
}' printed || die "the digits are wrong"

# A log: no control characters, few lines.
[ "$(tr -d '\n\040-\176' <log | wc -c)" = 0 ] || die "control characters in a log"
[ "$(wc -l <log)" -le 40 ] || die "a log of $(wc -l <log) lines"

# Progress that cannot be shown is dropped; a result that cannot be printed is exit code 1, with its files.
quiet() { "$@" 2>/dev/full; }
noisy() { "$@" >/dev/full 2>said; }
closed() { "$@" <&- >&- 2>&-; }
no_output() { "$@" >&- 2>said; }
no_messages() { "$@" 2>&-; }
# Once the reader has gone.
piped() { { sleep 0.1; local code=0; "$@" 2>&1 || code=$?; echo $code >code; } | true; return "$(cat code)"; }
expect 0 "train, full stderr" quiet levda train $case --data base/data.nc --out a
expect 0 "train, all closed" closed levda train $case --data base/data.nc --out b
expect 0 "train, stderr closed" no_messages levda train $case --data base/data.nc --out c
for out in a b c; do
  [ -s $out/weights.safetensors ] || die "no weights in $out"
  [ "$(tr -d '0-9\n' <$out/.lock | wc -c)" = 0 ] || die "messages went into $out/.lock"
done
number=0
for streams in noisy no_output closed piped; do
  out=result-$((number += 1))
  expect 1 "assimilate, $streams" $streams levda $seen --out $out
  [ -s $out/analysis.nc ] || die "assimilate, $streams: no analysis"
  expect 1 "help, $streams" $streams levda --help
  expect 1 "info, $streams" $streams levda info base/data.nc
done
grep -q "could not be printed: No space left on device" <(noisy levda keys tsunami; cat said) || die "no reason was said"
expect 0 "assimilate, full stderr" quiet levda $seen --out d >printed-again
cmp printed printed-again || die "stderr changed stdout"
expect 2 "bad input, full stderr" quiet levda info none.nc
expect 2 "bad option, full stderr" quiet levda info --none
expect 2 "bad input, all closed" closed levda train $case --data none.nc --out e

# Outputs that are links stay links, and their targets are written.
mkdir links big
ln -s ../big/analysis.nc links/analysis.nc       # to nothing yet
levda $seen --out links >/dev/null 2>&1
[ -L links/analysis.nc ] && [ -s big/analysis.nc ] || die "the link to nothing"
: >big/analysis.nc
levda $seen --out links >/dev/null 2>&1
[ -L links/analysis.nc ] && [ -s big/analysis.nc ] || die "the link to a file"
[ "$(ls -A big)" = analysis.nc ] || die "left behind: $(ls -A big)"
ln -sf second links/analysis.nc
ln -sf second links/second
expect 2 "links in a circle" levda $seen --out links >/dev/null 2>circle
[ "$(grep -c "^levda: " circle)" = 1 ] && grep -q "analysis.nc: is a symbolic link that leads in a circle" circle ||
  die "$(cat circle)"
[ -L links/analysis.nc ] || die "the link in a circle is gone"
ln -s nowhere link-to-folder
levda $seen --out link-to-folder >/dev/null 2>&1
[ -L link-to-folder ] && [ -s nowhere/analysis.nc ] || die "OUT as a link to nothing"
ln -s ../big/data.nc links/data.nc
ln -s ../big/checkpoint links/training.checkpoint.safetensors
ln -s ../big/weights links/weights.safetensors
levda generate $case --out links 2>/dev/null
levda train $case --out links --set checkpoint_seconds=0 2>/dev/null
for name in data.nc weights.safetensors training.checkpoint.safetensors; do
  [ -L links/$name ] || die "the link $name is gone"
done
[ "$(ls -A big | sort | tr '\n' ' ')" = "analysis.nc data.nc weights " ] || die "targets: $(ls -A big)"
