#!/usr/bin/env bash
# run.sh [SECONDS]: builds the fuzz targets with clang, ASan and UBSan, and lets each run for SECONDS (10) from its corpus. What libFuzzer finds
# goes to the build folder: crashes to crashes/NAME-*, new inputs to corpus/NAME. Ends with "N passed, N failed".
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
seconds=${1:-10}
build=${MORTISE_BUILD:-$root/build}-fuzz
flags="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -g -O1 -Wno-unknown-warning-option"

command -v clang >/dev/null || { echo "clang is missing: ./mortise setup installs it"; echo "0 passed, 1 failed"; exit 1; }
mkdir -p "$build"
if ! { cmake -S "$root" -B "$build" -G Ninja -DMORTISE_FUZZ=ON -DMORTISE_WERROR=OFF "-DMORTISE_DEPS=${MORTISE_CACHE:-$HOME/.cache/mortise}" \
        -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ "-DCMAKE_C_FLAGS=$flags" "-DCMAKE_CXX_FLAGS=$flags" &&
    cmake --build "$build" --target fuzz_all; } >"$build/build.log" 2>&1; then
    tail -n 40 "$build/build.log"
    echo "0 passed, 1 failed"
    exit 1
fi

# fuzz_one PROGRAM: prints "ok NAME …" or "failed NAME" and the report.
fuzz_one() {
    local name log words=()
    name=$(basename "$1")
    name=${name#fuzz_}
    log=$build/$name.log
    mkdir -p "$build/corpus/$name" "$build/crashes"
    [ ! -f "$root/tests/fuzz/$name.dict" ] || words=("-dict=$root/tests/fuzz/$name.dict")
    if "$1" -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -use_value_profile=1 "${words[@]}" \
        -artifact_prefix="$build/crashes/$name-" "$build/corpus/$name" "$root/tests/fuzz/corpus/$name" >"$log" 2>&1; then
        echo "ok $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs, coverage $(grep -o 'cov: [0-9]*' "$log" | tail -n 1)"
    else
        printf 'failed %s (input kept in %s)\n' "$name" "$build/crashes"
        grep -m1 -A 25 -E 'ERROR:|runtime error|^fuzz_' "$log" || tail -n 30 "$log"
    fi
}
export -f fuzz_one
export build root seconds

results=$build/results.txt
find "$build/tests/fuzz" -maxdepth 1 -type f -executable -name 'fuzz_*' | sort | xargs -P "$(nproc)" -I{} bash -c 'fuzz_one "$1"' - {} | tee "$results"
failed=$(grep -c '^failed ' "$results")
passed=$(grep -c '^ok ' "$results")
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
