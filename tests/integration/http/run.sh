#!/usr/bin/env bash
# run.sh [-v]: raw-socket tests of core/http, both sides, against its probe server. Ends with "N passed, N failed".
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
passed=0 failed=0 status=0
for test in test_http.py test_tls.py test_h2.py test_client.py; do
    output=$(python3 "$test" "$@") || status=1
    printf '%s\n' "$output" | sed '$d'
    read -r p _ f _ <<<"${output##*$'\n'}"
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-1}))
done
echo "$passed passed, $failed failed"
exit $status
