#!/usr/bin/env bash
# The one command for a machine with an NVIDIA GPU: builds with CUDA, runs the GPU's tests, looks for errors of memory and
# races in its kernels, measures, and writes experiments/bench/RESULTS-GPU.md. What the machine lacks is left out, and the
# file says so. Each part prints its time; all of them want less than 8 minutes.
#   experiments/bench/gpu.sh                       all parts
#   experiments/bench/gpu.sh tests|bench|torch|sanitizer ...    these parts
#   experiments/bench/gpu.sh --train [SECONDS]     trains the T-paper surrogate for so long (default 480); the same
#                                                  command goes on from there. Needs a preset `paper` of the tsunami
# Without packages and network: LEVDA_DEPS_DIR=FOLDER, made by collect_headers.sh. The figures of earlier runs stay in
# build-gpu/bench/ until they are measured anew.
set -uo pipefail
cd "$(dirname "$0")/../.."

build=build-gpu
results=$build/bench
operations='*operation*'  # the cases of test_gpu that run every operation, for the sanitizer
started=$SECONDS
budget=${LEVDA_GPU_SECONDS:-470}  # for all parts

train=
parts=()
while [ $# -gt 0 ]; do
  case $1 in
    --train)
      train=480
      if [[ ${2:-} =~ ^[0-9]+$ ]]; then train=$2 && shift; fi
      ;;
    tests | bench | torch | sanitizer) parts+=("$1") ;;
    *) echo "gpu.sh: there is no part $1 (tests, bench, torch, sanitizer)" >&2 && exit 2 ;;
  esac
  shift
done
[ ${#parts[@]} -gt 0 ] || [ -n "$train" ] || parts=(tests bench torch sanitizer)

[[ $(nvidia-smi -L 2>/dev/null) == *GPU* ]] || { echo "gpu.sh: nvidia-smi shows no GPU" >&2; exit 2; }
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null) || { echo "gpu.sh: there is no nvcc" >&2; exit 2; }
export CUDACXX=$nvcc
mkdir -p "$results"
{
  echo "gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1)"
  echo "memory=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader | head -1)"
  echo "driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -1)"
  echo "nvcc=$("$nvcc" --version | sed -n 's/.*release \(.*\)/\1/p')"
  echo "date=$(date -u +%Y-%m-%d)"
} >"$results/machine.txt"

# say PART WHAT: how a part went, for the file; the last word on a part counts.
say() {
  printf '%s\t%s\n' "$1" "$2" >>"$results/notes.txt"
  echo "$1: $2"
}

# part NAME FUNCTION: runs it and prints its time. A part that fails does not keep the others from running.
failed=0
part() {
  local begin=$SECONDS
  "$2" || failed=1
  echo "== $1: $((SECONDS - begin)) s"
}

left() { echo $((budget - (SECONDS - started))); }

run_build() {
  local log=$results/build.log
  tests/run.sh --gpu --build-only >"$log" 2>&1 && say build "done" && return
  tail -60 "$log"
  say build "FAILED"
  return 1
}

run_tests() {
  local log=$results/tests.log
  if ctest --test-dir "$build" -L gpu --output-on-failure --no-tests=error >"$log" 2>&1; then
    say tests "$(grep -E 'tests passed' "$log"), $(grep -c '(Skipped)$' "$log") of them skipped"
  else
    tail -40 "$log"
    say tests "FAILED: $(grep -E 'tests passed|No tests' "$log" | head -1)"
    return 1
  fi
}

# The table of operations under compute-sanitizer: all kernels at small sizes.
run_sanitizer() {
  local tool sanitizer status=0
  sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null) ||
    { say sanitizer "not run: there is no compute-sanitizer" && return 0; }
  for tool in memcheck racecheck; do
    local log=$results/$tool.log seconds=$(($(left) - 5))
    [ "$tool" = racecheck ] || seconds=$((seconds / 2))
    [ "$seconds" -ge 20 ] || { say "$tool" "not run: no time left" && continue; }
    timeout "$seconds" "$sanitizer" --tool "$tool" --error-exitcode 86 "$build/tests/test_gpu" --test-case="$operations" \
      >"$log" 2>&1
    case $? in
      0)
        if grep -qE 'test cases: *0 ' "$log"; then
          say "$tool" "FAILED: test_gpu has no case $operations" && status=1
        else
          say "$tool" "$(grep -E 'SUMMARY' "$log" | tail -1 | sed 's/^=* *//')"
        fi
        ;;
      124) say "$tool" "not finished in $seconds s, no error until then" ;;
      *) tail -20 "$log" && say "$tool" "FAILED: $(grep -E 'SUMMARY|rror' "$log" | tail -1)" && status=1 ;;
    esac
  done
  return "$status"
}

run_bench() {
  local case status=0
  for case in T-paper K-paper A-paper; do
    timeout 120 "$build/experiments/bench/levda_gpu_bench" --case "$case" --precision float32 --precision tf32 --seconds 4 \
      --out "$results/levda-$case.json" || { say "bench $case" "FAILED" && status=1; }
  done
  timeout 120 "$build/experiments/bench/levda_gpu_bench" --truths 256 --out "$results/truths-gpu.json" ||
    { say "bench truths" "FAILED" && status=1; }
  timeout 120 "$build/experiments/bench/levda_gpu_bench" --truths 8 --device cpu --threads 2 --out "$results/truths-cpu.json" ||
    { say "bench truths on the CPU" "FAILED" && status=1; }
  return "$status"
}

run_torch() {
  local python case status=0
  for python in python3 python; do
    "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null && break
    python=
  done
  [ -n "$python" ] || { say torch "not run: no PyTorch that sees the GPU" && return 0; }
  # The most wanted figures first; what there is no time for is left out.
  local last=$(($(date +%s) + $(left) - 60)) precision
  for precision in float32 tf32; do
    for case in T-paper K-paper A-paper; do
      [ "$(date +%s)" -lt "$last" ] || { say "torch $case $precision" "not run: no time left" && continue; }
      timeout "$(($(left) > 30 ? $(left) : 30))" "$python" experiments/bench/torch_bench.py --case "$case" --precision "$precision" --seconds 4 \
        --until "$last" --out "$results/torch-$case-$precision.json" || { say "torch $case $precision" "FAILED" && status=1; }
    done
  done
  return "$status"
}

# The error with time is in training.log: a line now and then, with the validation error.
run_train() {
  local out=$build/runs/tsunami-paper
  "$build/levda" keys tsunami --preset paper >/dev/null 2>&1 || { say train "not run: the tsunami has no preset paper" && return 0; }
  {
    [ -e "$out/data.safetensors" ] || [ -e "$out/data.nc" ] || "$build/levda" generate tsunami --preset paper --out "$out"
  } && "$build/levda" train tsunami --preset paper --out "$out" --device cuda --time-limit "$train" 2>&1 |
    tee -a "$results/training.log" || { say train "FAILED" && return 1; }
  if [ -e "$out/weights.safetensors" ]; then
    "$build/levda" info "$out/weights.safetensors" | grep -E '^(test_rel_rmse|train_seconds):' >"$results/training.txt"
    say train "finished"
  else
    say train "not finished after another $train s; the same command goes on"
  fi
}

part build run_build
if [ "$failed" -eq 0 ]; then
  for name in ${parts[@]+"${parts[@]}"}; do part "$name" "run_$name"; done
  [ -z "$train" ] || part train run_train
fi
if command -v python3 >/dev/null; then
  python3 experiments/bench/gpu_results.py "$results" >experiments/bench/RESULTS-GPU.md && cat experiments/bench/RESULTS-GPU.md
else
  echo "gpu.sh: no python3 to make RESULTS-GPU.md of $results/" >&2
fi
echo "== all: $((SECONDS - started)) s"
exit "$failed"
