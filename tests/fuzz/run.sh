#!/usr/bin/env bash
# Builds the fuzz targets and runs each on the seeds in corpus/ and on what earlier runs have found.
#   tests/fuzz/run.sh [SECONDS [JOBS]]    SECONDS per target (default 600), JOBS targets at a time (default 2); inputs that fail go to build-fuzz/findings, the rest to logs/
set -euo pipefail
cd "$(dirname "$0")/../.."

experiments/install_packages.sh clang libclang-rt-dev
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --parallel "$(nproc)"

# fuzz NAME SECONDS
fuzz() {
  local folders=("corpus/$1")
  [ -d "../tests/fuzz/corpus/$1" ] && folders+=("../tests/fuzz/corpus/$1")
  mkdir -p "corpus/$1" "findings/$1" logs
  # Far more memory than such small inputs can be worth; a header must not ask for more. Temporary files in memory.
  if TMPDIR=/dev/shm "tests/fuzz/fuzz_$1" -max_total_time="$2" -timeout=10 -malloc_limit_mb=64 -rss_limit_mb=1024 \
      -artifact_prefix="findings/$1/" -print_final_stats=1 "${folders[@]}" >"logs/$1" 2>&1; then
    echo "$1: clean, $(sed -n 's/^stat::number_of_executed_units: *//p' "logs/$1") inputs"
  else
    echo "$1: FAILED"
    tail -n 40 "logs/$1" | cut -c 1-200
    return 1
  fi
}
export -f fuzz

cd build-fuzz
for target in tests/fuzz/fuzz_*; do
  echo "${target#tests/fuzz/fuzz_}"
done | xargs -P "${2:-2}" -I{} bash -c 'fuzz "$@"' _ {} "${1:-600}"
