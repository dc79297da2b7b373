#!/usr/bin/env bash
# test_examples.sh BUILD: every example, as the installed SDK brings it, built and tested outside of the tree as its README says. test_examples.py (e2e) loads them.
set -euo pipefail

root=$(cd "$(dirname "$0")/../../.." && pwd)
build=${1:-${MORTISE_BUILD:-$root/build}}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/sdk" --component sdk >/dev/null
built=0

one() {
    local name=$1 folder=$work/sdk/share/mortise/sdk/examples/$1
    cmake -S "$folder" -B "$work/$name" "-DCMAKE_PREFIX_PATH=$work/sdk" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_FLAGS=-Werror -DCMAKE_CXX_FLAGS=-Werror || return
    cmake --build "$work/$name" && ctest --test-dir "$work/$name" --output-on-failure
}

for file in "$work"/sdk/share/mortise/sdk/examples/*/CMakeLists.txt; do
    name=$(basename "$(dirname "$file")")
    [ "$name" != rust ] || command -v rustc >/dev/null || { echo "no rustc: the example in Rust is skipped"; continue; }
    one "$name" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
    cmp "$(dirname "$file")/plugin.json" "$work/$name"/plugins/*/plugin.json
    built=$((built + 1))
done
[ "$built" -gt 6 ]
echo "$built examples built and tested outside of the tree"
