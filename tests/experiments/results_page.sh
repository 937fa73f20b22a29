#!/usr/bin/env bash
# bench/results.py rewrites a table whose runs are there, leaves the others alone, and refuses a page without its marks.
#   tests/experiments/results_page.sh
# Exit code 77 (skipped) where there is no Python 3.
set -euo pipefail
here=$(realpath "$(dirname "$0")")
python=$(type -p python3) || { echo "skipped: needs python3"; exit 77; }
script=$here/../../experiments/bench/results.py
page=$here/../../experiments/RESULTS.md

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for case in tsunami kolmogorov atmosphere; do
  mkdir -p out/$case-fine/compare
  cat >out/$case-fine/compare/results.json <<'END'
{"experiments": {"warm": {"methods": {
  "levda": {"rel_rmse": 0.07213, "param_error": 0.00397, "ssr": 0.451, "coverage90": 0.6971, "param_z_rms": 8.03},
  "floor": {"rel_rmse": 0.10049}}}}}
END
done
for quantity in members window sensors sigma; do
  mkdir -p out/tsunami-sweep/sweep/$quantity
  "$python" - >out/tsunami-sweep/sweep/$quantity/results.json <<'END'
import json
names = ("levda", "latent_etkf:relaxation=0.5", "etkf:relaxation=0.5")
studies = [{"experiments": {"warm": {"methods": {name: {"rel_rmse": error, "seconds": 0.5} for name in names}}}} for error in (0.3, 0.1)]
print(json.dumps({"values": ["5", "10"], "studies": studies, "exponents": {name: {"rel_rmse": -1.58, "seconds": 0} for name in names}}))
END
done
cp "$page" page.md
"$python" "$script" out page.md
grep -qx '| tsunami small | 0.0721 (0.1005) | 0.0040 | 0.45 | 0.697 | 8.0 |' page.md
grep -q '^| members 5, 10 | error | 0.3, 0.1; -1.58 | ' page.md
# The marks stay, and the other tables are those of before.
"$python" - "$page" page.md <<'END'
import re, sys
before, after = (dict(re.findall(r"<!-- (?!end)(\S+) -->\n(.*?)\n<!-- end -->", open(path).read(), re.S)) for path in sys.argv[1:])
assert before.keys() == after.keys() and len(before) == 8, before.keys()
changed = [name for name in before if before[name] != after[name]]
assert changed == ["fine", "sweeps"], changed
END
sed -i '/^<!-- sweeps -->$/d' page.md
if "$python" "$script" out page.md 2>said; then echo "a page without a mark was accepted"; exit 1; fi
grep -q 'page.md: <!-- sweeps -->: missing' said
