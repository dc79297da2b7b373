#!/usr/bin/env bash
# run.sh [SUITE…]: runs the named test suites, or all. ./mortise test calls it after the set-up and the build.
#
# unit         the programs of tests/unit and of the plugins
# integration  programs and scripts over a real PostgreSQL, real sockets, real plugins (tests/integration)
# e2e          the built program from outside (tests/e2e)            security   attacks on it (tests/security)
# fuzz         every fuzz target for a few seconds (tests/fuzz)      bench      every measurement once, briefly
# valgrind     unit under valgrind                                   sanitize   unit and integration with ASan + UBSan, then TSan
#
# The last line is "N passed, N failed". Logs are kept in BUILD/test-logs, of what failed only.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export MORTISE_CACHE=${MORTISE_CACHE:-$HOME/.cache/mortise}
export MORTISE_BUILD=${MORTISE_BUILD:-$root/build}
logs=$MORTISE_BUILD/test-logs
all_suites=(unit integration e2e security fuzz bench valgrind sanitize)
passed=0 failed=0 skipped=0 broken=()

# counts LOG: prints "PASSED FAILED SKIPPED" from the last closing line of our own scripts, else from ctest's.
counts() {
    awk '
        /^[0-9]+ passed, [0-9]+ failed/ { own = 1; p = $1; f = $3; s = $6 == "skipped" ? $5 : 0 }
        /tests passed, [0-9]+ tests? failed out of [0-9]+/ {
            for (i = 1; i <= NF; i++) if ($i == "of") total = $(i + 1)
            match($0, /, [0-9]+ test/); cf = substr($0, RSTART + 2) + 0; cp = total - cf
        }
        / \(Skipped\)|\*\*\*Skipped/ { if (/^ *[0-9]+\/[0-9]+ /) cs++ }
        END { if (own) print p, f, s + 0; else print cp - cs, cf + 0, cs + 0 }' "$1"
}

# part NAME COMMAND…: runs it with its output shown and counted. One that breaks before it counted a failure is a failure.
part() {
    local name=$1 log=$logs/$1.log status p f s from=$SECONDS
    shift
    echo "== $name"
    "$@" 2>&1 </dev/null | tee "$log"
    status=$?
    read -r p f s < <(counts "$log")
    [ "$status" = 0 ] || [ "$f" -gt 0 ] || f=1
    [ "$status" != 0 ] || [ "$((p + f + s))" -gt 0 ] || f=1 # nothing ran
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    [ "$f" = 0 ] && rm -f "$log" || broken+=("$name")
    echo "-- $name: $p passed, $f failed in $((SECONDS - from)) s"
}

# labelled BUILD LABEL: the ctest programs that have it. Those of integration have servers of their own, so they run one by one.
labelled() {
    local jobs=1
    [ "$2" != unit ] || jobs=$(nproc)
    ctest --test-dir "$1" -L "^$2\$" --output-on-failure --no-tests=error -j "$jobs"
}

suite_unit() { part unit labelled "$MORTISE_BUILD" unit; }

suite_integration() {
    part integration-programs labelled "$MORTISE_BUILD" integration
    part integration-scripts "$root/tests/integration/run.sh"
}

# Each measurement can be taken; what comes out in so short a time, beside whatever else runs, is not judged.
bench_once() {
    "$root/tests/bench/run.sh" --smoke --json >"$logs/bench.json"
    python3 - "$logs/bench.json" <<'EOF'
import json, sys
figures = json.load(open(sys.argv[1]))
skipped = [name for name, f in figures.items() if "skipped" in f]
taken = [name for name, f in figures.items() if f.get("value") is not None]
for name, f in figures.items():
    print("ok" if name in taken else "skipped" if name in skipped else "failed", name, f.get("value"), f.get("unit", ""), f.get("skipped", ""))
failed = len(figures) - len(taken) - len(skipped)
print(f"{len(taken)} passed, {failed} failed, {len(skipped)} skipped")
sys.exit(failed > 0)
EOF
}

suite_bench() { part bench bench_once; }

# under_valgrind WORD…: one test program, with smaller inputs where a test knows how; prints a line "ok|skipped|failed NAME", and its output when it failed.
under_valgrind() {
    local name log status from=$SECONDS
    name=$(basename "$1")
    log=$logs/valgrind-$name.txt
    MORTISE_TEST_SMALL=valgrind valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite "$@" >"$log" 2>&1 </dev/null
    status=$?
    case $status in
    0) echo "ok $name ($((SECONDS - from)) s)" ;;
    77) echo "skipped $name" ;;
    *) printf 'failed %s (status %s)\n%s\n' "$name" "$status" "$(tail -n 40 "$log")" ;;
    esac
    [ "$status" != 0 ] && [ "$status" != 77 ] || rm -f "$log"
}

# The commands of the unit tests that are programs of ours, a line each, their words parted by tabs.
unit_programs() {
    ctest --test-dir "$MORTISE_BUILD" -L '^unit$' --show-only=json-v1 | python3 -c '
import json, sys
for test in json.load(sys.stdin)["tests"]:
    command = test.get("command", [""])
    if command[0].startswith(sys.argv[1]):
        print(*command, sep="\t")' "$MORTISE_BUILD"
}

# Every unit test program under valgrind; the ones that switch fibers register their stacks with it.
valgrind_all() {
    local out=$logs/valgrind-all.txt bad
    export logs
    export -f under_valgrind
    cd "$root" || return 1
    unit_programs | xargs -d '\n' -P "$(nproc)" -I{} bash -c 'IFS=$'"'\t'"' read -ra words <<<"$1" && under_valgrind "${words[@]}"' - {} |
        tee "$out"
    bad=$(grep -c '^failed ' "$out")
    echo "$(grep -c '^ok ' "$out") passed, $bad failed, $(grep -c '^skipped ' "$out") skipped"
    rm -f "$out"
    [ "$bad" = 0 ]
}

suite_valgrind() { part valgrind valgrind_all; }

# build_sanitized BUILD SANITIZERS
build_sanitized() {
    cmake -S "$root" -B "$1" -G Ninja "-DMORTISE_DEPS=$MORTISE_CACHE" "-DMORTISE_SANITIZE=$2" >"$1.log" 2>&1 &&
        cmake --build "$1" >>"$1.log" 2>&1 && rm "$1.log" && return
    tail -n 40 "$1.log"
    return 1
}

# sanitized NAME SANITIZERS: unit and integration in a build folder of their own.
sanitized() {
    local build=$MORTISE_BUILD-$1
    echo "== building with $2"
    if ! build_sanitized "$build" "$2"; then
        failed=$((failed + 1))
        broken+=("$1-build")
        return
    fi
    part "$1-unit" labelled "$build" unit
    part "$1-integration" labelled "$build" integration
    part "$1-http" env "MORTISE_BUILD=$build" "$root/tests/integration/run.sh" http
}

# Instrumented code is slow: the tests that can take smaller inputs do.
suite_sanitize() {
    local -x MORTISE_TEST_SMALL=1
    sanitized asan address,undefined
    MORTISE_TEST_SMALL=tsan TSAN_OPTIONS="suppressions=$root/tests/support/tsan.supp ${TSAN_OPTIONS:-}" sanitized tsan thread
}

run_suite() {
    if declare -F "suite_$1" >/dev/null; then
        "suite_$1"
    elif [ -x "$root/tests/$1/run.sh" ]; then
        part "$1" "$root/tests/$1/run.sh"
    else
        echo "no suite is called '$1'; there are: ${all_suites[*]}"
        failed=$((failed + 1))
    fi
}

mkdir -p "$logs"
rm -f "$logs"/*.log "$logs"/*.txt "$logs"/*.json
[ $# -gt 0 ] || set -- "${all_suites[@]}"
for suite; do run_suite "$suite"; done
[ ${#broken[@]} = 0 ] || echo "failed: ${broken[*]} (their logs are in $logs)"
echo "took $((SECONDS / 60)) min $((SECONDS % 60)) s; $skipped skipped"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
