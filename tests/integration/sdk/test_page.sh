#!/usr/bin/env bash
# test_page.sh BUILD: a newcomer's path, by the commands of "From nothing to an answer" of sdk/docs/README.md alone: new, test, run with a change and a
# mistake, pack, install, upgrade, rollback. The first answer must come within a minute.
set -euo pipefail

root=$(cd "$(dirname "$0")/../../.." && pwd)
build=${1:-${MORTISE_BUILD:-$root/build}}
work=$(mktemp -d)
. "$root/tests/integration/sdk/server.sh"

# step NAME: the commands of that block, on our port.
step() {
    awk -v open="\`\`\`sh step=$1" '$0 == open { on = 1; next } /^```/ { on = 0 } on' "$root/sdk/docs/README.md" | grep . | sed "s/\b8000\b/$port/; s/curl /curl -sS /"
}
follow() { bash -euo pipefail -c "$(step "$1")"; }
fail() { echo "$1"; tail -n 60 serve.log; exit 1; }

# answers TEXT: what the page's question is answered, within some seconds.
answers() {
    for _ in $(seq 200); do
        [ "$(follow ask)" = "{\"message\":\"$1\",\"items\":0}" ] && return
        sleep 0.1
    done
    fail "answered: $(follow ask), not: $1"
}
said() {
    for _ in $(seq 200); do
        grep -qF -- "$1" serve.log && return
        sleep 0.1
    done
    fail "not said: $1"
}

# The page is read in Mortise's folder: ./mortise and build are there.
chmod 755 "$work"
cd "$work"
ln -s "$build" build
ln -s "$build/bin/mortise" mortise
started=$SECONDS

follow new >new.log 2>&1 || { cat new.log; exit 1; }
data=try serve bash -c "exec $(step run)"
said "sentiment 0.1.0 is active"
answers 'Hello, Ada!'
answered=$((SECONDS - started))
follow change
answers 'Good morning, Ada!'

# A mistake is told where it is, the version before goes on, and the correction is taken.
sed -i 's/return MT_OK;/return MT_OKAY;/' sentiment/sentiment.c
said "sentiment/sentiment.c:36:12: error: "
said "the version before goes on serving"
answers 'Good morning, Ada!'
sed -i 's/MT_OKAY/MT_OK/; s/\.\*s!"/.*s?"/' sentiment/sentiment.c
answers 'Good morning, Ada?'
sed -i 's/"x-handler"/"x-handled"/' sentiment/api.json
said "sentiment/api.json:6:138: get /sentiment/summary: key x-handled is not known"
sed -i 's/"x-handled"/"x-handler"/' sentiment/api.json
sed -i 's/^SELECT id, title/SELECT id, tilte/' sentiment/queries.sql
said 'sentiment/queries.sql:2:12: query item_list: the database refuses it: column "tilte" does not exist'
sed -i 's/tilte/title/' sentiment/queries.sql
answers 'Good morning, Ada?'

# A crash is told; after three the plugin is in quarantine, and the correction that is saved serves.
times() { grep -cF -- "$1" serve.log || true; }
active=$(times 'sentiment 0.1.0 is active')
sed -i 's/mt_handle row;/mt_handle row; *(volatile int *)0 = 1;/' sentiment/sentiment.c
for _ in $(seq 200); do [ "$(times 'sentiment 0.1.0 is active')" -gt "$active" ] && break; sleep 0.1; done
for _ in $(seq 200); do
    [ "$(times 'event=plugin.quarantined plugin=sentiment')" -gt 0 ] && break
    follow ask >crash.log 2>&1 || true       # it crashes, or is not yet active in the host that came after
    sleep 0.1
done
said 'event=plugin.crashed plugin=sentiment version=0.1.0 how=SIGSEGV'
said 'event=plugin.quarantined plugin=sentiment'
sed -i 's/ \*(volatile int \*)0 = 1;//' sentiment/sentiment.c
answers 'Good morning, Ada?'
kill -INT "$server"
wait "$server" || fail "run ended with $?"
server=

serve ./mortise serve
rm -rf try
ln -s data try
follow install >install.log 2>&1 || { cat install.log; exit 1; }
[ "$(tail -n 1 install.log)" = "sentiment 0.1.0 is active" ] || { cat install.log; exit 1; }
answers 'Good morning, Ada?'

# The rest of the plugin in a real host: a query operation, the policy, off and on again.
[ "$(ask -o item.json -w '%{http_code}' -H 'content-type: application/json' -d '{"title":"one"}' "http://127.0.0.1:$port/v1/sentiment/items")" = 201 ]
ask "http://127.0.0.1:$port/v1/sentiment/summary" | grep -qx '{"message":"Good morning, world?","items":1}'
./mortise plugin disable sentiment >/dev/null
[ "$(ask -o gone.json -w '%{http_code}' "http://127.0.0.1:$port/v1/sentiment/summary")" = 404 ]
./mortise plugin enable sentiment >/dev/null

follow upgrade >upgrade.log 2>&1 || { cat upgrade.log; exit 1; }
grep -qx 'sentiment 0.2.0: upgrade from 0.1.0' upgrade.log
grep -qx 'sentiment 0.2.0 is active' upgrade.log
./mortise plugin info sentiment | grep -q '0\.2\.0'
[ "$(follow rollback)" = "sentiment is active" ]
./mortise plugin list | grep -Eq '^sentiment +0\.1\.0 +active'
ask "http://127.0.0.1:$port/v1/sentiment/summary" | grep -q '"items":1}$'

echo "from nothing to an answer in $answered s, to a rollback in $((SECONDS - started)) s"
[ "$answered" -lt 60 ]
