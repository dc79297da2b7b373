#!/usr/bin/env bash
# fetch-openai-js.sh CACHE: the official JavaScript client of OpenAI's API, pinned; no install script runs. Needed by the tests only.
# Prints the prefix (node_modules/openai) and writes it to CACHE/openai-js.prefix.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cache=${1:?usage: fetch-openai-js.sh CACHE}
version=7.57.0
prefix=$cache/openai-js-$version-$(hash_of "${BASH_SOURCE[0]}")

fetch() {
    command -v npm >/dev/null || fail "npm is missing: run ./mortise setup."
    say "openai (JavaScript) $version: fetching"
    echo '{ "private": true, "type": "module" }' >out/package.json
    run_logged npm.log npm install --prefix out --ignore-scripts --no-audit --no-fund --save-exact "openai@$version"
    [ -f out/node_modules/openai/package.json ] || fail "npm left no openai in $PWD/out."
}

provide "$prefix" fetch
printf '%s\n' "$prefix" >"$cache/openai-js.prefix.$$" && mv "$cache/openai-js.prefix.$$" "$cache/openai-js.prefix"
printf '%s\n' "$prefix"
