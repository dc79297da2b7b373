#!/usr/bin/env bash
# fetch-onnxruntime.sh CACHE: ONNX Runtime for the CPU: the library out of its Python wheel (to be opened with dlopen) and its C
# headers out of the Unity plugin on npm, both pinned. Prints the prefix (lib/, include/) and writes it to CACHE/onnxruntime.prefix.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cache=${1:?usage: fetch-onnxruntime.sh CACHE}
wheel=onnxruntime-1.31.1-cp311-cp311-manylinux_2_28_x86_64.whl
wheel_sha256=5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
headers=com.github.asus4.onnxruntime@0.4.9
headers_sha256=e59788788818fdde1b2e522e766a21ba0f7d8391de55737abf81e32cc801785d
headers_at=package/Plugins/iOS~/onnxruntime.xcframework/ios-arm64/onnxruntime.framework/Headers
prefix=$cache/onnxruntime-1.31.1-$(hash_of "${BASH_SOURCE[0]}")

fetch_library() {
    local python path
    python=$(python_env "$cache")
    path=$("$python" "$MORTISE_PARTS/pypi.py" onnxruntime "$wheel" "$wheel_sha256" "$cache/downloads")
    "$python" -m zipfile -e "$path" wheel
    mkdir -p out/lib
    cp wheel/onnxruntime/capi/libonnxruntime.so.1.31.1 out/lib/libonnxruntime.so.1
    cp wheel/onnxruntime/LICENSE wheel/onnxruntime/ThirdPartyNotices.txt out/
    rm "$path"
}

fetch_headers() {
    local archive name
    command -v npm >/dev/null || fail "npm is missing: run ./mortise setup."
    run_logged npm.log npm pack --silent --ignore-scripts "$headers"
    archive=$(echo com.github.asus4.onnxruntime-*.tgz)
    check_sha256 "$archive" "$headers_sha256"
    tar -xzf "$archive" "$headers_at"
    mkdir -p out/include
    for name in c_api ep_c_api error_code; do
        cp "$headers_at/onnxruntime_$name.h" out/include/
    done
}

fetch() {
    [ "$(uname -m)" = x86_64 ] || fail "ONNX Runtime is pinned for x86_64 only; this machine is $(uname -m)."
    say "ONNX Runtime: fetching the library (24 MB)"
    fetch_library
    say "ONNX Runtime: fetching the C headers (their package has 150 MB)"
    fetch_headers
}

provide "$prefix" fetch
printf '%s\n' "$prefix" >"$cache/onnxruntime.prefix.$$" && mv "$cache/onnxruntime.prefix.$$" "$cache/onnxruntime.prefix"
printf '%s\n' "$prefix"
