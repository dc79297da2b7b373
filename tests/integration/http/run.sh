#!/usr/bin/env bash
# run.sh: raw-socket tests of core/http against its probe server.
cd "$(dirname "${BASH_SOURCE[0]}")" && exec python3 test_http.py "$@"
