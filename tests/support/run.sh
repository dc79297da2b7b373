#!/usr/bin/env bash
# run.sh FOLDER [PYTEST ARGUMENT…]: the Python tests of a folder, with the built program of MORTISE_BUILD. Ends with "N passed, N failed".
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export MORTISE_CACHE=${MORTISE_CACHE:-$HOME/.cache/mortise}
export MORTISE_BUILD=${MORTISE_BUILD:-$root/build}
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$root/tests/support
ulimit -Sn "$(ulimit -Hn)"
python=$("$root/mortise.d/fetch-python.sh" "$MORTISE_CACHE")/bin/python
folder=$1
shift
cd "$folder"
exec "$python" -m pytest -c "$root/tests/support/pytest.ini" --rootdir "$folder" "${@:-.}"
