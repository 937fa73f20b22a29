#!/usr/bin/env bash
# Runs the lines of "Your own data" of experiments/README.md as a reader would, and checks what comes out.
#   tests/experiments/own_data.sh BUILD_FOLDER
# Exit code 77 (skipped) where Python has no xarray.
set -euo pipefail
build=$(realpath "$1")
readme=$(realpath "$(dirname "$0")/../../experiments/README.md")

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# The first python3 with the packages; Debian's need not be the first one of the path.
for python in $(type -ap python3); do
  "$python" -c 'import xarray, netCDF4' 2>/dev/null || continue
  mkdir bin
  ln -s "$python" bin/python3
  break
done
if [ ! -e bin ]; then
  echo "skipped: needs the packages python3-xarray and python3-netcdf4"
  exit 77
fi
export PATH=$folder/bin:$PATH
ln -s "$build" build
awk '/^## /{inside = /^## 3[.] Your own data/} /^```$/{code = 0} inside && code; /^```sh$/{code = 1}' "$readme" >lines.sh
[ "$(grep -c build/levda lines.sh)" -ge 5 ] || { echo "the README's lines were not found"; exit 1; }
bash -euo pipefail lines.sh | tee printed

# The truths: speed 0.8 in [0.5, 1.5], and the last member's wind at the times that were seen.
python3 - <<'END'
import re, xarray
found = {name: (float(mean), float(std)) for name, mean, std in
         re.findall(r"^(\w+) = (\S+) \+- (\S+)", open("printed").read(), re.M)}
wind = xarray.open_dataset("gauges.nc").parameters.values[-1, 8:14, 0]
for name, truth, slack in (("speed", 0.8, 0), ("wind", wind.mean(), (wind.max() - wind.min()) / 2)):
    mean, std = found[name]
    print(f"{name}: {mean} +- {std}, truth {truth:.3f}")
    # Four standard deviations, and the change within the window that one value cannot follow; and it has learnt.
    assert abs(mean - truth) <= 4 * std + slack, name
    assert std <= 0.1, name
analysis = xarray.open_dataset("runs/gauges/analysis.nc")
assert analysis.field_mean.dims == ("time", "channel", "point") and analysis.sizes["point"] == 300
END
