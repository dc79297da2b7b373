"""The server's outer side: TLS, HTTP/2, web pages of other origins, proxies, all in front of real operations."""
import json
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import urllib.request

import pytest

import server as servers
from server import until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration/http"))
import tls  # noqa: E402

ORIGIN = "https://app.example.org"


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield pathlib.Path(name)


@pytest.fixture(scope="module")
def server(folder):
    pem, key = tls.certificate(folder)
    made = servers.Server(name="test_edge", env={"MORTISE_HTTP_HTTP2": "true", "MORTISE_HTTP_CORS_ORIGINS": ORIGIN},
                          args=["--tls-certificate", str(pem), "--tls-key", str(key)]).start()
    yield made
    made.dispose()


def curl(server, path, *args, data=None):
    """(status, HTTP version, headers, body)."""
    done = subprocess.run(["curl", "-ks", "--max-time", "20", "-D", "-", *args, f"https://127.0.0.1:{server.port}/v1{path}"], capture_output=True, input=data)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    return int(first.split()[1]), first.split()[0], {n.lower(): v.strip() for n, _, v in (f.partition(":") for f in fields)}, body


def key(server):
    return "Authorization: Bearer " + (server.data / "admin.key").read_text().strip()


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_operations_over_tls(server, version):
    status, protocol, headers, body = curl(server, "/organizations", version, "-H", key(server))
    assert status == 200 and protocol == {"--http1.1": "HTTP/1.1", "--http2": "HTTP/2"}[version] and json.loads(body)["items"]
    assert headers["strict-transport-security"].startswith("max-age=") and headers["x-content-type-options"] == "nosniff"
    assert curl(server, "/organizations", version)[0] == 401
    status, _, headers, body = curl(server, "/organizations", version, "-H", key(server), "-H", "Content-Type: application/json", "-d", "{")
    assert status in (400, 422) and headers["content-type"] == "application/problem+json" and json.loads(body)["code"]


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_an_upload_and_a_streamed_answer(server, version, folder):
    workspace = "/workspaces/00000000-0000-0000-0000-000000000002"
    text = folder / f"bridge{version}.txt"
    text.write_text(f"The bridge of {version} was built in 1872 by Ana Horvat. " * 20)
    status, _, _, body = curl(server, workspace + "/documents/upload?wait=true", version, "-H", key(server), "-F", f"file=@{text}")
    assert status in (200, 201, 202), body
    status, _, headers, body = curl(server, workspace + "/chat", version, "-H", key(server), "-H", "Content-Type: application/json",
                                    "-d", json.dumps({"query": "When was the bridge built?", "stream": True}))
    assert status == 200 and headers["content-type"] == "text/event-stream" and b"event: done" in body, body


def test_the_address_says_https(server):
    assert (server.data / "mortise.url").read_text().startswith("https://")


def test_pages_of_listed_origins(server):
    status, _, headers, _ = curl(server, "/organizations", "-X", "OPTIONS", "-H", f"Origin: {ORIGIN}", "-H", "Access-Control-Request-Method: GET",
                                 "-H", "Access-Control-Request-Headers: authorization")
    assert status == 204 and headers["access-control-allow-origin"] == ORIGIN and headers["access-control-allow-headers"] == "authorization"
    _, _, headers, _ = curl(server, "/organizations", "-H", f"Origin: {ORIGIN}", "-H", key(server))
    assert headers["access-control-allow-origin"] == ORIGIN and headers["vary"] == "origin"
    status, _, headers, _ = curl(server, "/organizations", "-X", "OPTIONS", "-H", "Origin: https://evil.example", "-H", "Access-Control-Request-Method: GET")
    assert status == 401 and "access-control-allow-origin" not in headers


def test_a_renewed_certificate_is_taken_by_itself(server, folder):
    def shown():
        return ssl.get_server_certificate(("127.0.0.1", server.port))
    before = shown()
    pem, private = tls.certificate(folder, "renewed")
    os.replace(pem, folder / "server.pem")
    os.replace(private, folder / "server.key")
    until("the new certificate is shown", lambda: shown() != before)
    assert curl(server, "/health")[0] == 200


def test_a_wrong_certificate_stops_the_start(folder):
    made = servers.Server(name="test_edge_wrong", args=["--tls-certificate", str(folder / "missing.pem")])
    done = subprocess.run([servers.BINARY, "serve", "--data", made.data, "--port", "0", *made.args], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "http.tls_certificate" in done.stdout + done.stderr
    made.dispose()
