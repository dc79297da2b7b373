# Shared by the set-up scripts. Each script prints its progress on stderr and its result on the last line of stdout.
set -euo pipefail

MORTISE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
MORTISE_PARTS=$MORTISE_ROOT/mortise.d

say() { printf 'mortise: %s\n' "$*" >&2; }
fail() { printf 'mortise: %s\n' "$*" >&2; exit 1; }

# hash_of FILE...: 12 digits that change when the text of any of the files that exist does.
hash_of() {
    local file
    for file in "$@"; do [ ! -f "$file" ] || cat "$file"; done | sha256sum | cut -c1-12
}

# check_sha256 FILE DIGEST: the file is byte for byte the one that was pinned.
check_sha256() {
    [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$2" ] ||
        fail "$(basename "$1") is not the pinned file (sha256 differs). Remove it and run ./mortise setup again."
}

# run_logged LOG COMMAND...: its output goes to LOG, shown in part when the command fails.
run_logged() {
    local log=$1
    shift
    "$@" >>"$log" 2>&1 </dev/null || {
        tail -n 30 "$log" >&2
        fail "'$(basename "$1")' failed; its whole output is in $log."
    }
}

# provide PREFIX FUNCTION: fills the folder PREFIX by running FUNCTION in an empty work folder, whose out/ becomes PREFIX in
# one rename, so that a folder in the cache is always whole. Does nothing if PREFIX is there.
provide() {
    local prefix=$1 make=$2 work
    [ ! -d "$prefix" ] || return 0
    mkdir -p "$(dirname "$prefix")"
    exec 8>"$prefix.lock"
    flock 8
    if [ ! -d "$prefix" ]; then
        work=$prefix.part
        rm -rf "$work"
        mkdir -p "$work/out"
        (cd "$work" && "$make")
        mv "$work/out" "$prefix"
        rm -rf "$work"
    fi
    exec 8>&-
    rm -f "$prefix.lock"
}

# python_env CACHE: prints the Python of a bare virtual environment in the cache; the set-up's own scripts run in it.
python_env() {
    local prefix
    command -v python3 >/dev/null || fail "python3 is missing: run ./mortise setup."
    prefix=$1/python-$(python3 -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
    [ -x "$prefix/bin/pip" ] || python_env_create "$prefix"
    printf '%s/bin/python3\n' "$prefix"
}

# A virtual environment cannot be moved, so it is made in place and counts once its pip is there.
python_env_create() {
    mkdir -p "$1"
    exec 7>"$1/.lock"
    flock 7
    [ -x "$1/bin/pip" ] || run_logged "$1/create.log" python3 -m venv "$1"
    exec 7>&-
}
