#!/usr/bin/env bash
# fetch-redocly.sh CACHE: the linter of OpenAPI documents, @redocly/cli, pinned; no install script of it runs. Needed by the tests only.
# Prints the prefix (node_modules/.bin/redocly) and writes it to CACHE/redocly.prefix.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cache=${1:?usage: fetch-redocly.sh CACHE}
version=1.34.5
prefix=$cache/redocly-$version-$(hash_of "${BASH_SOURCE[0]}")

fetch() {
    command -v npm >/dev/null || fail "npm is missing: run ./mortise setup."
    say "@redocly/cli $version: fetching"
    echo '{ "private": true }' >out/package.json
    run_logged npm.log npm install --prefix out --ignore-scripts --no-audit --no-fund --save-exact "@redocly/cli@$version"
    [ -x out/node_modules/.bin/redocly ] || fail "npm left no redocly in $PWD/out."
}

provide "$prefix" fetch
printf '%s\n' "$prefix" >"$cache/redocly.prefix.$$" && mv "$cache/redocly.prefix.$$" "$cache/redocly.prefix"
printf '%s\n' "$prefix"
