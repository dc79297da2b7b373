# Sourced with $work set to a fresh folder: a server there that ends, and the folder with it, when the test does.

export MORTISE_MODELS_DIR=${MORTISE_MODELS_DIR:-${MORTISE_CACHE:-$HOME/.cache/mortise}/models}
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export MORTISE_HTTP_PORT=$port
server=

stop() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT

# serve COMMAND…: starts it in the background, its data in $data (./data); returns when it is ready.
serve() {
    "$@" >serve.log 2>&1 &
    server=$!
    for _ in $(seq 400); do
        [ -s "${data:-data}/admin.key" ] && curl -s -f -o health.json "http://127.0.0.1:$port/v1/health/ready" && return
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    echo "the server did not become ready:"
    curl -s "http://127.0.0.1:$port/v1/health/ready" || true
    tail -n 40 serve.log
    return 1
}

# ask CURL-ARGUMENT…: as the administrator.
ask() { curl -sS -H "Authorization: Bearer $(cat data/admin.key)" "$@"; }
