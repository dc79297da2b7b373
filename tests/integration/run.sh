#!/usr/bin/env bash
# run.sh [NAME…]: every tests/integration/NAME/run.sh, or those named. Each, and this, ends with "N passed, N failed".
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
passed=0 failed=0
[ $# -gt 0 ] || set -- $(for script in */run.sh; do dirname "$script"; done)
for name; do
    echo "== integration/$name"
    output=$("$name/run.sh") && ok=1 || ok=0
    printf '%s\n' "$output"
    read -r p _ f _ <<<"${output##*$'\n'}"
    [[ $p =~ ^[0-9]+$ && $f =~ ^[0-9]+$ ]] || { p=0 f=1; }
    [ $ok = 1 ] || [ "$f" -gt 0 ] || f=1
    passed=$((passed + p)) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
