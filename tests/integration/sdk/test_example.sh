#!/usr/bin/env bash
# test_example.sh BUILD: the security scanner in a real host, beside Mortise's own plugins: its operation, its hook's patches, on and off.
set -euo pipefail

root=$(cd "$(dirname "$0")/../../.." && pwd)
build=${1:-${MORTISE_BUILD:-$root/build}}
work=$(mktemp -d)
. "$root/tests/integration/sdk/server.sh"
chmod 755 "$work"
cd "$work"
mortise=$build/bin/mortise

serve "$mortise" serve --plugins "$build/plugins:$build/examples"
analyze() { ask -H 'content-type: application/json' -d "$1" -w ' %{http_code}' "http://127.0.0.1:$port/v1/code/analyze"; }
expect() { [[ $1 == $2 ]] || { echo "got: $1"; echo "not: $2"; exit 1; }; }

expect "$(analyze '{"source":"eval(x)"}')" '*\"not_found\"* 404'
expect "$("$mortise" plugin enable security_scanner)" 'security_scanner is active'
expect "$(analyze '{"source":"return 1"}')" '{"score":100,"findings":\[\]} 200'
expect "$(analyze '{"source":"pyyaml==5.0\neval(x)","file_name":"requirements.txt"}')" \
    '{"score":55,"findings":\[{"rule":"code_execution",*"line":2*{"rule":"vulnerable_dependency",*"severity":"critical","line":1*CVE-2020-14343*\]} 200'
expect "$(analyze '{"file_name":"a.py"}')" '*422'
expect "$(ask "http://127.0.0.1:$port/v1/hooks")" '*security_scanner*'
expect "$("$mortise" plugin disable security_scanner)" 'security_scanner is inactive'
expect "$(analyze '{"source":"eval(x)"}')" '*404'
echo "the example loads, answers and goes"
