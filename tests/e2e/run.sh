#!/usr/bin/env bash
# run.sh [PYTEST ARGUMENT…]: see tests/README.md.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$here/../support/run.sh" "$here" "$@"
