#!/usr/bin/env bash
# fetch-ann-peers.sh CACHE: ann_peers, the bare engines beside which nearest neighbours are measured: usearch (with its kernels, NumKong) and
# hnswlib from their npm packages, pinned, FAISS from Debian's libfaiss-dev. Four minutes of processor time. Prints the program's folder.
. "$(dirname "${BASH_SOURCE[0]}")/../../mortise.d/common.sh"

cache=${1:?usage: fetch-ann-peers.sh CACHE}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
engines=$cache/ann-engines-$(hash_of "${BASH_SOURCE[0]}")
prefix=$cache/ann-peers-$(hash_of "${BASH_SOURCE[0]}" "$here/ann_peers.cc" "$here/ann_effort.h")

unpack() { # NAME-VERSION SHA256 FOLDER
    run_logged npm.log npm pack --silent --ignore-scripts "${1%-*}@${1##*-}"
    check_sha256 "$1.tgz" "$2"
    mkdir "$3"
    tar xzf "$1.tgz" -C "$3" --strip-components 1
}

# out/: usearch with its kernels as a library, and the headers of both.
fetch_engines() {
    command -v npm >/dev/null || fail "npm is missing: run ./mortise setup."
    say "nearest neighbours: fetching and building the peers (some minutes)"
    unpack usearch-2.25.3 006132253b3484a58726afbf300baf449c680cba00f2d2a869011415ed16db3e usearch
    unpack hnswlib-node-3.0.0 4a8074485e5abe659d23e9998d97a00226db056ca466ada6eedbc512a4c4df01 hnswlib
    run_logged build.log node usearch/numkong/probes/probe.js
    local probes=$PWD/usearch/numkong/nk_probes.h
    local flags=(-O3 -w -DNK_DYNAMIC_DISPATCH=1 -DNK_NATIVE_F16=0 -DNK_NATIVE_BF16=0 -include "$probes" -Iusearch/numkong/include)
    [ -f "$probes" ] || fail "the probe of usearch's kernels left no $probes."
    mkdir objects
    printf '%s\n' usearch/numkong/c/*.c >sources
    run_logged build.log nice xargs -a sources -P "$(nproc)" -I{} sh -c \
        'cc -std=c11 "$@" -c "{}" -o objects/$(basename "{}" .c).o' sh "${flags[@]}"
    run_logged build.log nice c++ -std=c++17 "${flags[@]}" -DUSEARCH_USE_NUMKONG=1 -Iusearch/include -c usearch/c/lib.cpp -o objects/usearch.o
    ar rcs out/libusearch.a objects/*.o
    cp usearch/c/usearch.h hnswlib/src/hnswlib/*.h out/
}

build_program() {
    run_logged build.log nice c++ -std=c++17 -O3 -march=native -w -DFINTEGER=int -I"$engines" -I"$here" "$here/ann_peers.cc" \
        -o out/ann_peers "$engines/libusearch.a" /usr/lib/x86_64-linux-gnu/libfaiss.a -lopenblas -fopenmp
}

[ -f /usr/include/faiss/IndexHNSW.h ] || fail "libfaiss-dev is missing: run ./mortise setup."
provide "$engines" fetch_engines
provide "$prefix" build_program
printf '%s\n' "$prefix"
