#!/usr/bin/env bash
# run.sh: each plugins/NAME/tests/http_test.py against one server with a data folder of its own. Ends with "N passed, N failed".
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
build=${MORTISE_BUILD:-$root/build}
data=$(mktemp -d "${TMPDIR:-/tmp}/mortise-plugins-XXXXXX")
chmod 711 "$data"
export PYTHONDONTWRITEBYTECODE=1 DEFAULT_RATE_LIMIT=1000000
"$build/bin/mortise" serve --data "$data" --port 0 --log-level warn >"$data/log" 2>&1 &
server=$!
stop() {
    kill "$server" 2>/dev/null
    wait "$server"
    rm -rf "$data"
}
trap stop EXIT

ready() { [ -s "$data/mortise.url" ] && curl -sf -o /dev/null "$(cat "$data/mortise.url")/v1/health/ready"; }
until ready; do
    kill -0 "$server" 2>/dev/null && [ $SECONDS -lt 120 ] || {
        cat "$data/log"
        echo "0 passed, 1 failed"
        exit 1
    }
    sleep 0.1
done
MORTISE_URL=$(cat "$data/mortise.url")
MORTISE_KEY=$(cat "$data/admin.key")
export MORTISE_URL MORTISE_KEY

passed=0 failed=0
for test in "$root"/plugins/*/tests/http_test.py; do
    name=$(basename "$(dirname "$(dirname "$test")")")
    output=$(python3 "$test" 2>&1)
    ran=$(sed -n 's/^Ran \([0-9]*\) test.*/\1/p' <<<"$output")
    bad=$(grep -cE '^(FAIL|ERROR): ' <<<"$output")
    [ "${ran:-0}" -gt 0 ] || bad=1 ran=1
    passed=$((passed + ran - bad)) failed=$((failed + bad))
    if [ "$bad" = 0 ]; then
        echo "ok $name: $ran tests"
    else
        printf 'failed %s\n%s\n' "$name" "$output"
        tail -n 20 "$data/log"
    fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
