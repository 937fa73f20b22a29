#!/bin/sh
# Speed of the solvers beside jax-cfd's (jax_cfd_rate.py says how to install it), in turns, so that both see the same
# machine; first that both compute the same.
#
#     experiments/bench/solver_rates.sh BUILD PYTHON [TURNS]
set -eu
build=${1:-build}
python=${2:-python3}
turns=${3:-5}
here=$(dirname "$0")
rates=$build/experiments/bench/solver_rates
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for nodes in 64 150; do
  "$rates" --states "$work/states.bin" --nodes $nodes
  "$python" "$here/jax_cfd_rate.py" --nodes $nodes --states "$work/states.bin"
done
for turn in $(seq "$turns"); do
  "$rates" --seconds 0.5
  for nodes in 64 150; do "$python" "$here/jax_cfd_rate.py" --nodes $nodes --seconds 1; done
done >"$work/rates.txt"

# Best of all turns, and the median of the turns' medians.
echo "grid points x steps per second, $turns turns: best, median"
sed 's/ best .* median / /; t; d' "$work/rates.txt" | sort >"$work/medians.txt"
sed 's/ best \([^ ]*\) .*/ \1/' "$work/rates.txt" | sort >"$work/bests.txt"
cut -d' ' -f1-5 "$work/bests.txt" | sort -u | while read -r solver nodes type threads word; do
  name="$solver $nodes $type $threads $word"
  pick() { grep "^$name " "$1" | cut -d' ' -f6 | sort -g; }
  printf '%-36s %10s %10s\n' "$name" "$(pick "$work/bests.txt" | tail -n 1)" \
    "$(pick "$work/medians.txt" | sed -n "$(((turns + 1) / 2))p")"
done
