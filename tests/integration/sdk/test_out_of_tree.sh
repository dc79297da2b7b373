#!/usr/bin/env bash
# test_out_of_tree.sh BUILD: installs the SDK of this build into a folder of its own, makes a plugin from the template, and builds and tests it
# outside the tree: with CMake through the package, with make through pkg-config, and by the program beside it.
set -euo pipefail

build=${1:-${MORTISE_BUILD:-$(cd "$(dirname "$0")/../../.." && pwd)/build}}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

# new_plugin NAME: what `mortise plugin new` does, without needing the program.
new_plugin() {
    local ident=${1//-/_} file
    cp -r "$prefix/share/mortise/sdk/templates/plugin" "$work/$1"
    find "$work/$1" -type f -exec sed -i "s/@NAME@/$1/g; s/@IDENT@/$ident/g" {} +
    find "$work/$1" -name '*@IDENT@*' | while read -r file; do mv "$file" "${file//@IDENT@/$ident}"; done
}

loadable() {
    local part
    for part in plugin.json api.json queries.sql sql/001_item.sql policies/pace.lua; do
        cmp "$1/../../../$part" "$1/$part"
    done
    nm -D --defined-only "$1/${1##*/}.so" | awk '{ print $3 }' >"$work/symbols"
    [ "$(cat "$work/symbols")" = "${1##*/}_plugin" ] || { echo "exports more than its entry table:"; cat "$work/symbols"; return 1; }
}

# An installed SDK can be moved.
cmake --install "$build" --prefix "$work/elsewhere" --component sdk >/dev/null
mv "$work/elsewhere" "$prefix"
started=$SECONDS

new_plugin with-cmake
cmake -S "$work/with-cmake" -B "$work/with-cmake/build" "-DCMAKE_PREFIX_PATH=$prefix" -DCMAKE_C_FLAGS=-Werror >/dev/null
cmake --build "$work/with-cmake/build" >/dev/null
ctest --test-dir "$work/with-cmake/build" --output-on-failure --no-tests=error
loadable "$work/with-cmake/build/plugins/with_cmake"

export PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name mortise.pc)")
new_plugin by_make
make -s -C "$work/by_make" CFLAGS="-O1 -Werror" all check
loadable "$work/by_make/build/plugins/by_make"

# The program beside an installed SDK uses that one, in a folder whose name has a blank.
mkdir "$prefix/bin" "$work/a folder"
cp "$build/bin/mortise" "$prefix/bin"
(cd "$work/a folder" && "$prefix/bin/mortise" plugin new by-program >/dev/null && "$prefix/bin/mortise" plugin test by-program >"$work/program.log" 2>&1) || { cat "$work/program.log"; exit 1; }
loadable "$work/a folder/by-program/build/plugins/by_program"
grep -q "^Mortise_DIR:PATH=$(realpath "$prefix")/" "$work/a folder/by-program/build/CMakeCache.txt"

elapsed=$((SECONDS - started))
echo "three plugins made, built and tested in $elapsed s"
[ "$elapsed" -lt 60 ]
