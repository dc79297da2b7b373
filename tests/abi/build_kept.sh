#!/usr/bin/env bash
# build_kept.sh VERSION CC: builds the plugin that is kept of a release, once, when it is released. Small, stripped, and the same bytes from the same compiler.
set -euo pipefail
cd "$(dirname "$0")/$1"
for source in plugins/*/*.c; do
    object=${source%.c}.so
    [ ! -e "$object" ] || { echo "$object is kept: it is not built again"; exit 1; }
    "$2" -std=gnu17 -O2 -Wall -Wextra -Wno-unused-parameter -Werror -fPIC -shared -fvisibility=hidden -s -Wl,--build-id=none -Wl,-z,noseparate-code \
        -ffile-prefix-map="$PWD"= -I../../../sdk/include -o "$object" "$source"
done
sha256sum plugins/*/*.so | tee SHA256SUMS
