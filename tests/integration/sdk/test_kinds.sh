#!/usr/bin/env bash
# test_kinds.sh BUILD: each kind of `mortise plugin new`: made, built, tested, packed, installed, and what it is for asked of a running server.
set -euo pipefail

root=$(cd "$(dirname "$0")/../../.." && pwd)
build=${1:-${MORTISE_BUILD:-$root/build}}
work=$(mktemp -d)
. "$root/tests/integration/sdk/server.sh"
chmod 755 "$work"
cd "$work"
mortise=$build/bin/mortise
upstream_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
python3 "$root/tests/integration/sdk/upstream.py" "$upstream_port" &
upstream=$!
trap 'kill $upstream 2>/dev/null; stop' EXIT
started=$SECONDS

for kind in $("$mortise" plugin new --list | cut -d' ' -f1); do
    "$mortise" plugin new "my-$kind" --kind "$kind" >/dev/null
    "$mortise" plugin test "my-$kind" >test.log 2>&1 || { cat test.log; exit 1; }
    "$mortise" plugin pack "my-$kind" >/dev/null
    grep -rn '@NAME@\|@IDENT@' "my-$kind" && exit 1
done
[ "$(ls my_*-0.1.0.mortise | wc -l)" = 5 ]

serve "$mortise" serve --outbound.allow_private
for package in my_*-0.1.0.mortise; do
    config=()
    [ "$package" = my_llm-0.1.0.mortise ] && config=(--config "base_url=http://127.0.0.1:$upstream_port/v1" --config api_key=sk-right)
    "$mortise" plugin install "$package" "${config[@]}" | grep -qx "${package%-*} 0.1.0 is active"
    rm "$package"
done
at=http://127.0.0.1:$port/v1
json() { ask -w ' %{http_code}' -H 'content-type: application/json' "$@"; }
expect() { [[ $1 == $2 ]] || { echo "got: $1"; echo "not: $2"; tail -n 40 serve.log; exit 1; }; }

expect "$(json "$at/my-plugin/summary?name=Ada")" '{"message":"Hello, Ada!","items":0} 200'

expect "$(json -d '{"title": "one"}' "$at/my-query/items")" '{"id":"*","title":"one","done":false,*} 201'
expect "$(json -d '{"title": "one"}' "$at/my-query/items")" '*my_query_title_taken* 409'
item=$at/my-query/items/$(json "$at/my-query/items" | sed 's/.*"id":"\([^"]*\)".*/\1/')
expect "$(json -X PATCH -d '{"done": true}' "$item")" '*"title":"one","done":true* 200'
expect "$(json -X PATCH -H 'if-match: "1"' -d '{"done": false}' "$item")" '* 412'
expect "$(json -X DELETE "$item")" ' 204'
expect "$(json "$item")" '* 404'

expect "$(json -d '{"from": "2026-01-31", "to": "2026-03-01"}' "$at/tools/my-tool")" '{"days":29} 200'
expect "$(json -d '{"from": "yesterday", "to": "2026-03-01"}' "$at/tools/my-tool")" '*/from* 422'

question() { json -d "{\"query\": \"$1\"}" "$at/workspaces/00000000-0000-0000-0000-000000000002/chat"; }
expect "$(question "What is the router's PASSWORD?")" '*my_policy_refused* 422'
expect "$(question 'What is a router?')" '* 200'

say() { json -d '{"model": "my-llm-1", "messages": [{"role": "user", "content": "Ada Lovelace"}]'"${1:-}"'}' "$at/chat/completions"; }
expect "$(say)" '*"content":"Ada Lovelace*"finish_reason":"stop"*"prompt_tokens":3,*"completion_tokens":2* 200'
expect "$(say ', "stream": true')" '*"content":"Ada "*"content":"Lovelace *\[DONE\]* 200'
ask -X PUT -o config.json -H 'content-type: application/json' -d "{\"base_url\": \"http://127.0.0.1:$upstream_port/v1\", \"api_key\": \"sk-wrong\"}" "$at/plugins/my_llm/config"
expect "$(say)" '*my_llm_key_refused* 503'
grep -q 'sk-wrong\|sk-right' serve.log && { echo "a key is in the log"; exit 1; }

# A provider that was installed does not become the default by a new host.
echo 'The sky is blue because air scatters blue light more than red light.' >sky.md
ask -o uploaded.json -F file=@sky.md "$at/workspaces/00000000-0000-0000-0000-000000000002/documents/upload?wait=true"
model() { question 'Why is the sky blue?' | grep -o '"model":"[^"]*"'; }
before=$(model)
"$mortise" reload >/dev/null
[ "$(model)" = "$before" ] || { echo "the default model was $before, is $(model)"; exit 1; }
expect "$(say)" '*my_llm_key_refused* 503'

# run uses the server that runs; what it brought goes with it, what was there stays.
"$mortise" plugin new brought --kind query >/dev/null
"$mortise" plugin run brought --json >run.log 2>&1 &
run=$!
told() { for _ in $(seq 200); do [ "$(grep -c "\"event\":\"$1\"" run.log)" = "$2" ] && return; sleep 0.1; done; echo "not told: $1"; cat run.log; exit 1; }
told swapped 1
grep -q "\"url\":\"http://127.0.0.1:$port\".*\"own\":false" run.log
expect "$(json -d '{"title": "one"}' "$at/brought/items")" '* 201'
sed -i 's/"maxLength": 200/"maxLength": 2/' brought/api.json
told swapped 2
expect "$(json -d '{"title": "two"}' "$at/brought/items")" '*/title* 422'
sed -i 's/"x-query": "item_get"/"x-query": "item_got"/' brought/api.json
told failed 1
grep -q '^brought/api.json:[0-9]*:[0-9]*: get /brought/items' run.log
kill -INT $run
wait $run
expect "$(json "$at/brought/items")" '* 404'
"$mortise" plugin run my-policy --json >run.log 2>&1 &
run=$!
told swapped 1
kill -INT $run
wait $run
"$mortise" plugin list | grep -Eq '^my_policy +0\.1\.0 +active'

echo "five kinds from nothing to answers in $((SECONDS - started)) s"
