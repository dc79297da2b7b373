#!/usr/bin/env bash
# fetch-h2o.sh CACHE: builds h2o 2.2.5 from Debian's source package with core/http/h2o.patch, as a static libh2o-evloop.
# Prints the install prefix and writes it to CACHE/h2o.prefix. The system's own apt lists are left alone.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cache=${1:?usage: fetch-h2o.sh CACHE}
patch=$MORTISE_ROOT/core/http/h2o.patch
version=2.2.5
prefix=$cache/h2o-$version-$(hash_of "$patch" "${BASH_SOURCE[0]}")

# This machine's Debian sources as deb-src lines, from the one-line and the deb822 format.
source_lists() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        sed -nE 's/^[[:space:]]*deb[[:space:]]+/deb-src /p'
    local file
    for file in /etc/apt/sources.list.d/*.sources; do
        [ ! -f "$file" ] || awk '
            function flush(i, n, u, j, m, s) {
                n = split(uris, u, " "); m = split(suites, s, " ")
                if (on) for (i = 1; i <= n; i++) for (j = 1; j <= m; j++)
                    print "deb-src " (key ~ /^\// ? "[signed-by=" key "] " : "") u[i], s[j], parts
                uris = suites = parts = key = ""; on = 1
            }
            BEGIN { on = 1 }
            /^[ \t]*$/ { flush(); next }
            { name = tolower($1); value = $0; sub(/^[^:]*:[ \t]*/, "", value) }
            name == "uris:" { uris = value }
            name == "suites:" { suites = value }
            name == "components:" { parts = value }
            name == "signed-by:" { key = value }
            name == "enabled:" && tolower(value) == "no" { on = 0 }
            END { flush() }' "$file"
    done
}

fetch_source() {
    mkdir -p apt/lists/partial apt/cache/archives/partial
    source_lists | grep -E ' bookworm( |-)' | sort -u >apt/sources.list || true
    [ -s apt/sources.list ] || fail "no apt source of Debian 12 (bookworm) found in /etc/apt; h2o's source comes from there."
    local options=(-q -o Dir::Etc::SourceList="$PWD/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::State::Lists="$PWD/apt/lists" -o Dir::Cache="$PWD/apt/cache" -o APT::Sandbox::User=root
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
    run_logged build.log apt-get "${options[@]}" update
    run_logged build.log apt-get "${options[@]}" source --download-only "h2o"
    run_logged build.log dpkg-source -x h2o_*.dsc src
}

build() {
    say "h2o $version: fetching Debian's source"
    fetch_source
    if [ -f "$patch" ]; then
        run_logged build.log patch -d src -p1 --fuzz=0 -i "$patch"
    fi
    say "h2o $version: building"
    run_logged build.log cmake -S src -B obj -DCMAKE_BUILD_TYPE=None "-DCMAKE_C_FLAGS=-O2 -g -fPIC -fno-omit-frame-pointer" \
        -DWITH_MRUBY=OFF -DDISABLE_LIBUV=ON -DWITH_BUNDLED_SSL=OFF -DCMAKE_POLICY_DEFAULT_CMP0042=NEW -Wno-dev
    run_logged build.log cmake --build obj --target libh2o-evloop -j "$(nproc)"
    mkdir -p out/lib
    cp obj/libh2o-evloop.a out/lib/
    cp -r src/include out/include
}

provide "$prefix" build
printf '%s\n' "$prefix" >"$cache/h2o.prefix.$$" && mv "$cache/h2o.prefix.$$" "$cache/h2o.prefix"
printf '%s\n' "$prefix"
