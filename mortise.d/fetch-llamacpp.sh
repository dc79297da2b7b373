#!/usr/bin/env bash
# fetch-llamacpp.sh CACHE: llama.cpp v0.5.0 as node-llama-cpp 3.22.1 builds it: the libraries (to be opened with dlopen; the variant for the
# processor is chosen when it runs) and, out of the release's git bundle, their C headers. Nothing is built. Prints the prefix (lib/,
# include/) and writes it to CACHE/llamacpp.prefix.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cache=${1:?usage: fetch-llamacpp.sh CACHE}
version=3.22.1
library_sha256=0d953e1503d5ab4608d8ed5b739132308c81ac05ffeb760d2a7f30e08a9f90e0
headers_sha256=a0d9dd80eacd2ab1cfe71aee57ac8a806487fd70b3d2a38fbec637752d9e5c5f
prefix=$cache/llamacpp-$version-$(hash_of "${BASH_SOURCE[0]}")

# take PACKAGE ARCHIVE DIGEST PATH...: these paths of the npm package, into the work folder.
take() {
    run_logged npm.log npm pack --silent --ignore-scripts "$1@$version"
    check_sha256 "$2" "$3"
    tar -xzf "$2" "${@:4}"
    rm "$2"
}

fetch() {
    local name
    [ "$(uname -m)" = x86_64 ] || fail "llama.cpp is pinned for x86_64 only; this machine is $(uname -m)."
    for name in npm git; do
        command -v $name >/dev/null || fail "$name is missing: run ./mortise setup."
    done
    say "llama.cpp: fetching the libraries (11 MB)"
    take @node-llama-cpp/linux-x64 "node-llama-cpp-linux-x64-$version.tgz" $library_sha256 package/bins/linux-x64 package/LICENSE
    mkdir -p out/lib out/include
    cp package/bins/linux-x64/libggml*.so package/bins/linux-x64/libllama.v0.5.0.so package/LICENSE out/lib/
    say "llama.cpp: fetching the C headers (their package has 36 MB)"
    take node-llama-cpp "node-llama-cpp-$version.tgz" $headers_sha256 package/llama/gitRelease.bundle
    run_logged git.log git clone package/llama/gitRelease.bundle source
    cp source/include/llama.h source/ggml/include/{ggml,ggml-alloc,ggml-backend,ggml-cpu,ggml-opt,gguf}.h out/include/
}

provide "$prefix" fetch
printf '%s\n' "$prefix" >"$cache/llamacpp.prefix.$$" && mv "$cache/llamacpp.prefix.$$" "$cache/llamacpp.prefix"
printf '%s\n' "$prefix"
