#!/usr/bin/env bash
# test_page.sh BUILD: follows "From nothing to an answer" of sdk/docs/README.md to the letter, against a server of its own; it must take under a minute.
set -euo pipefail

root=$(cd "$(dirname "$0")/../../.." && pwd)
build=${1:-${MORTISE_BUILD:-$root/build}}
work=$(mktemp -d)
. "$root/tests/integration/sdk/server.sh"

# step NAME: the commands of that block.
step() {
    awk -v open="\`\`\`sh step=$1" '$0 == open { on = 1; next } /^```/ { on = 0 } on' "$root/sdk/docs/README.md" | grep .
}

# The page is read in Mortise's folder: ./mortise and build are there.
chmod 755 "$work"
cd "$work"
ln -s "$build" build
ln -s "$build/bin/mortise" mortise
export HOME=$work/home
mkdir "$HOME"
started=$SECONDS

bash -euo pipefail -c "$(step build)" >build.log 2>&1 || { cat build.log; exit 1; }
serve bash -c "exec $(step serve)"
answer=$(step ask | sed "s/127.0.0.1:8000/127.0.0.1:$port/; s/curl /curl -sS /" | bash -euo pipefail) || { tail -n 40 serve.log; exit 1; }
expected='{"message":"Hello, Ada!","items":0}'
[ "$(tail -n 1 <<<"$answer")" = "$expected" ] || { echo "answered: $answer"; tail -n 40 serve.log; exit 1; }

# The rest of the plugin in a real host: a query operation, the policy's cases, off and on again.
[ "$(ask -o item.json -w '%{http_code}' -H 'content-type: application/json' -d '{"title":"one"}' "http://127.0.0.1:$port/v1/sentiment/items")" = 201 ]
ask "http://127.0.0.1:$port/v1/sentiment/summary" | grep -qx '{"message":"Hello, world!","items":1}'
./mortise policy test sentiment/policies/pace.lua >policy.log || { cat policy.log; exit 1; }
./mortise plugin disable sentiment >/dev/null
[ "$(ask -o gone.json -w '%{http_code}' "http://127.0.0.1:$port/v1/sentiment/summary")" = 404 ]
./mortise plugin enable sentiment >/dev/null
ask "http://127.0.0.1:$port/v1/sentiment/summary" | grep -q '"items":1}$'

elapsed=$((SECONDS - started))
echo "from nothing to an answer in $elapsed s"
[ "$elapsed" -lt 60 ]
