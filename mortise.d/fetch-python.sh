#!/usr/bin/env bash
# fetch-python.sh CACHE: the Python environment of the tests: what tests/requirements.txt pins, and nothing else. Needed by the tests
# only. Prints the prefix (bin/python) and writes it to CACHE/test-python.prefix.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cache=${1:?usage: fetch-python.sh CACHE}
wanted=$MORTISE_ROOT/tests/requirements.txt
prefix=$cache/test-python-$(python3 -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')-$(hash_of "${BASH_SOURCE[0]}" "$wanted")

# An environment cannot be moved, so it is made in place and counts once .whole is there.
create() {
    say "Python test tools: fetching"
    rm -rf "$prefix"
    run_logged "$cache/test-python.log" python3 -m venv "$prefix"
    run_logged "$cache/test-python.log" "$prefix/bin/pip" install --no-input --disable-pip-version-check --no-deps --only-binary :all: -r "$wanted"
    run_logged "$cache/test-python.log" "$prefix/bin/pip" check
    touch "$prefix/.whole"
}

mkdir -p "$cache"
exec 7>"$cache/test-python.lock"
flock 7
[ -f "$prefix/.whole" ] || create
exec 7>&-
printf '%s\n' "$prefix" >"$cache/test-python.prefix.$$" && mv "$cache/test-python.prefix.$$" "$cache/test-python.prefix"
printf '%s\n' "$prefix"
