#!/usr/bin/env bash
# run.sh [NAME…] [--json] [--rounds N] [--seconds S]: the measurements, or those named; see README.md. Needs a build (MORTISE_BUILD).
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export MORTISE_BUILD=${MORTISE_BUILD:-$(cd "$here/../.." && pwd)/build}
export MORTISE_CACHE=${MORTISE_CACHE:-${HOME:-/root}/.cache/mortise}
exec python3 "$here/bench.py" "$@"
