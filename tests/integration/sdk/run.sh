#!/usr/bin/env bash
# run.sh: a plugin outside the tree: built from an installed SDK, and by following the SDK's own page.
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
build=${MORTISE_BUILD:-$(cd ../../.. && pwd)/build}
passed=0 failed=0
for test in ./test_*.sh; do
    if output=$("$test" "$build" 2>&1); then
        passed=$((passed + 1))
        echo "ok $test: $(tail -n 1 <<<"$output")"
    else
        failed=$((failed + 1))
        printf 'failed %s\n%s\n' "$test" "$output"
    fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
