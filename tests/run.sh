#!/usr/bin/env bash
# run.sh [SUITE…]: runs the named test suites, or all. ./mortise test calls it after the set-up and the build.
#
# unit      the programs of tests/unit         sanitize  the same with ASan + UBSan, then with TSan
# valgrind  the same under valgrind            any other name: tests/NAME/run.sh
# A suite's own script ends with a line "N passed, N failed"; so does this one, with the sums.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export MORTISE_CACHE=${MORTISE_CACHE:-$HOME/.cache/mortise}
export MORTISE_BUILD=${MORTISE_BUILD:-$root/build}
logs=$MORTISE_BUILD/test-logs
all_suites=(unit integration e2e security fuzz valgrind sanitize)
passed=0
failed=0

# unit_tests BUILD [CTEST OPTION…]
unit_tests() {
    ctest --test-dir "$1" -L unit --output-on-failure --no-tests=error -j "$(nproc)" "${@:2}"
}

run_unit() { unit_tests "$MORTISE_BUILD"; }

# under_valgrind WORD…: one test program; prints a line "ok|skipped|failed NAME", and its output when it failed.
under_valgrind() {
    local name log status
    name=$(basename "$1")
    log=$logs/valgrind-$name.txt
    valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite "$@" >"$log" 2>&1 </dev/null
    status=$?
    case $status in
    0) echo "ok $name" ;;
    77) echo "skipped $name" ;;
    *) printf 'failed %s (status %s)\n%s\n' "$name" "$status" "$(tail -n 40 "$log")" ;;
    esac
}

# The commands of the unit tests that are programs of ours, a line each, their words parted by tabs.
unit_programs() {
    ctest --test-dir "$MORTISE_BUILD" -L unit --show-only=json-v1 | python3 -c '
import json, sys
for test in json.load(sys.stdin)["tests"]:
    command = test.get("command", [""])
    if command[0].startswith(sys.argv[1]):
        print(*command, sep="\t")' "$MORTISE_BUILD"
}

# Every unit test program under valgrind; the ones that switch fibers register their stacks with it.
run_valgrind() {
    local out=$logs/valgrind-all.txt bad
    export logs
    export -f under_valgrind
    cd "$root" || return 1
    unit_programs | xargs -d '\n' -P "$(nproc)" -I{} bash -c 'IFS=$'"'\t'"' read -ra words <<<"$1" && under_valgrind "${words[@]}"' - {} |
        tee "$out"
    bad=$(grep -c '^failed ' "$out")
    echo "$(grep -c '^ok ' "$out") passed, $bad failed, $(grep -c '^skipped ' "$out") skipped"
    [ "$bad" = 0 ] && grep -q '^ok ' "$out"
}

# sanitized NAME SANITIZERS: builds and runs the unit tests in their own build folder.
sanitized() {
    local build=$MORTISE_BUILD-$1
    cmake -S "$root" -B "$build" -G Ninja "-DMORTISE_DEPS=$MORTISE_CACHE" "-DMORTISE_SANITIZE=$2" >"$logs/$1-build.log" 2>&1 &&
        cmake --build "$build" >>"$logs/$1-build.log" 2>&1 || {
        tail -n 40 "$logs/$1-build.log"
        return 1
    }
    unit_tests "$build"
}

run_sanitize() {
    local result=0
    sanitized asan address,undefined || result=1
    TSAN_OPTIONS="suppressions=$root/tests/support/tsan.supp ${TSAN_OPTIONS:-}" sanitized tsan thread || result=1
    return $result
}

# count LOG: prints "PASSED FAILED" from the closing lines of ctest and of our own scripts.
count() {
    awk '
        /^[0-9]+ passed, [0-9]+ failed/ { own = 1; p = $1; f = $3 }
        /tests passed, [0-9]+ tests? failed out of [0-9]+/ {
            for (i = 1; i <= NF; i++) if ($i == "of") total = $(i + 1)
            match($0, /, [0-9]+ test/); bad = substr($0, RSTART + 2) + 0
            cp += total - bad; cf += bad
        }
        END { if (own) print p, f; else print cp + 0, cf + 0 }' "$1"
}

run_suite() {
    local suite=$1 log=$logs/$1.log status counts
    echo "== $suite"
    if declare -F "run_$suite" >/dev/null; then
        "run_$suite" 2>&1 | tee "$log"
    elif [ -x "$root/tests/$suite/run.sh" ]; then
        "$root/tests/$suite/run.sh" 2>&1 | tee "$log"
    else
        echo "no suite is called '$suite'; there are: ${all_suites[*]}"
        false
    fi
    status=$?
    [ -f "$log" ] && read -ra counts < <(count "$log") || counts=(0 0)
    passed=$((passed + counts[0]))
    failed=$((failed + counts[1]))
    # a suite that broke before it could count a failure is one
    [ "$status" = 0 ] || [ "${counts[1]}" != 0 ] || failed=$((failed + 1))
}

mkdir -p "$logs"
rm -f "$logs"/*.log
if [ $# -gt 0 ]; then
    suites=("$@")
else
    suites=()
    for suite in "${all_suites[@]}"; do
        ! declare -F "run_$suite" >/dev/null && [ ! -x "$root/tests/$suite/run.sh" ] || suites+=("$suite")
    done
fi
for suite in "${suites[@]}"; do run_suite "$suite"; done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
