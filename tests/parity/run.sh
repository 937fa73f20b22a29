#!/usr/bin/env bash
# Compares levda with PyTorch: values and derivatives of 200 random expressions and of every layer, training by Adam.
#   tests/run.sh --parity            prints a table; fails where float64 differs by more than 1e-12 (Adam after 50
#                                    steps: 1e-9) or the float32 error is more than 4 times PyTorch's own
#   tests/run.sh --parity --seed 2   the same with other expressions
#   tests/run.sh --parity --store    the same, then writes the fixed subset with PyTorch's answers, stored.json, which
#                                    the plain tests read without Python. Do so after a change of expressions.py or
#                                    layers.py, and for a new operation.
# The Python environment, build/parity-venv (1.4 GB), is made by pip the first time. PyTorch's usual wheel for Linux
# wants gigabytes of CUDA libraries that a run on the CPU only links. So it is installed without them, and empty
# libraries stand in for them: a call of one of their functions would end the program, not give a wrong number. Where
# pip's index has a wheel for the CPU alone (2.13.0+cpu), pip takes that one, and nothing stands in for anything.
set -euo pipefail
cd "$(dirname "$0")/../.."

torch=2.13.0
venv=build/parity-venv

experiments/install_packages.sh python3-venv
cmake --preset release >/dev/null
cmake --build --preset release --parallel "$(nproc)" --target levda_parity

if [ "$(cat "$venv/made" 2>/dev/null)" != "$torch" ]; then
  echo "making $venv with PyTorch $torch"
  python3 -m venv --clear "$venv"
  # What `import torch` needs; of CUDA only the small runtime, with which PyTorch registers its kernels at the start.
  "$venv/bin/pip" install -q --no-deps "torch==$torch" filelock typing-extensions sympy mpmath networkx jinja2 \
    markupsafe fsspec numpy nvidia-cuda-runtime==13.0.96
  packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
  for library in "$packages"/torch/lib/*.so; do
    readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(lib\(cu\|nv\|nccl\).*\)\]/\1/p'
  done | sort -u | while read -r name; do
    [ -n "$(find "$packages/torch/lib" "$packages/nvidia" -name "$name")" ] && continue
    cc -shared -x c /dev/null -Wl,-soname,"$name" -o "$packages/torch/lib/$name"
  done
  echo "$torch" >"$venv/made"
fi

exec "$venv/bin/python" tests/parity/compare.py build/tests/levda_parity "$@"
