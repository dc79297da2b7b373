#!/usr/bin/env bash
# test_guide.sh BUILD: the plugin of sdk/docs/guide.md, put together from the page's blocks, and the page's commands to the letter: it is built and tested, and a server answers
# through it. In the upstream's place is a local server that speaks its wire format.
set -euo pipefail

root=$(cd "$(dirname "$0")/../../.." && pwd)
build=${1:-${MORTISE_BUILD:-$root/build}}
work=$(mktemp -d)
. "$root/tests/integration/sdk/server.sh"
export MORTISE_OUTBOUND_ALLOW_PRIVATE=true GEMINI_API_KEY=g-canary-7f3a

# step NAME: the commands of that block.
step() {
    awk -v open="\`\`\`sh step=$1" '$0 == open { on = 1; next } /^```/ { on = 0 } on' "$root/sdk/docs/guide.md" | grep . |
        sed "s/127.0.0.1:8000/127.0.0.1:$port/; s/curl /curl -sS -f /; s/^.*api_key=.*$/& --config base_url=${upstream//\//\\/}/"
}

run() { step "$1" | bash -euo pipefail >"$1.log" 2>&1 || { echo "step $1 failed:"; cat "$1.log"; tail -n 40 serve.log 2>/dev/null; exit 1; }; }
expect() { grep -q -- "$2" "$1.log" || { echo "step $1: no $2 in"; cat "$1.log"; exit 1; }; }

chmod 755 "$work"
cd "$work"
ln -s "$build" build
ln -s "$build/bin/mortise" mortise
mkfifo said
PYTHONPATH=$root/tests/support python3 -c '
import sys, fake_llm
with fake_llm.FakeLLM() as fake:
    print(fake.url, flush=True)
    sys.stdin.read()                                     # until this test ends, however it does
' <said >upstream.url &
exec 3>said
until [ -s upstream.url ]; do kill -0 $! || { echo "the upstream did not start"; exit 1; }; sleep 0.05; done
upstream=$(cat upstream.url)

python3 "$root/sdk/docs/check_docs.py" "$root" --assemble llm_gemini
run test
expect test '100% tests passed'
serve bash -c "exec $(step serve)"
run install
run route
run openai
expect openai '"content":"Lovelace "'
expect openai '^data: \[DONE\]'
run chat
expect chat '"model":"gemini"'
expect chat 'Ada Lovelace wrote it'
if grep -n "$GEMINI_API_KEY" *.log; then exit 1; fi
echo "the guide's provider is built, tested, installed and answers"
