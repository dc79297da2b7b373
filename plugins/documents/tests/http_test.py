#!/usr/bin/env python3
"""Uploads through a running server: MORTISE_URL and MORTISE_KEY (an administrator's key) name it."""
import json
import os
import unittest
import urllib.error
import urllib.request
import uuid

URL = os.environ.get("MORTISE_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("MORTISE_KEY", "")
DEFAULT = "00000000-0000-0000-0000-000000000002"


def call(method, path, body=None, kind="application/json"):
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    request = urllib.request.Request(URL + "/v1" + path, body, {"Authorization": "Bearer " + KEY, "Content-Type": kind}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return answer.status, json.loads(answer.read() or "null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or "null")


def upload(files, workspace=DEFAULT, query="?wait=true"):
    head = '--x\r\nContent-Disposition: form-data; name="file"; filename="'
    body = b"".join(head.encode() + name + b'"\r\nContent-Type: text/plain\r\n\r\n' + text + b"\r\n" for name, text in files)
    return call("POST", f"/workspaces/{workspace}/documents/upload{query}", body + b"--x--\r\n", "multipart/form-data; boundary=x")


def fresh():
    return f"{uuid.uuid4()}. The mill stands by the river.".encode()


class Documents(unittest.TestCase):
    def test_names(self):
        for sent, kept in [("д".encode() * 200 + b".txt", "д" * 127), (b"a\xff\xfe\x01b.txt", "ab.txt"), (b"C:\\\\dir/x.txt", "x.txt")]:
            status, answer = upload([(sent, fresh())])
            self.assertEqual((status, answer["items"][0]["document"]["file_name"]), (200, kept))

    def test_many_wait_together(self):
        status, answer = upload([(f"{i}.txt".encode(), fresh()) for i in range(20)])
        self.assertEqual((status, {item["document"]["status"] for item in answer["items"]}), (200, {"indexed"}))

    def test_over_the_quota_nothing_is_kept(self):
        slug = "q" + uuid.uuid4().hex[:12]
        organization = call("POST", "/organizations", {"name": "Quota", "slug": slug, "max_documents_per_workspace": 1})[1]["id"]
        workspace = call("POST", f"/organizations/{organization}/workspaces", {"name": "W", "slug": "w"})[1]["id"]
        self.assertEqual(upload([(b"a.txt", fresh())], workspace)[0], 200)
        self.assertEqual(upload([(b"b.txt", fresh())], workspace)[0], 429)
        self.assertEqual(len(call("GET", f"/workspaces/{workspace}/documents")[1]["items"]), 1)
        call("DELETE", f"/organizations/{organization}")


if __name__ == "__main__":
    unittest.main()
