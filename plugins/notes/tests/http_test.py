#!/usr/bin/env python3
"""Notes through a running server: MORTISE_URL and MORTISE_KEY (an administrator's key) name it."""
import json
import os
import threading
import unittest
import urllib.error
import urllib.request
import uuid

URL = os.environ.get("MORTISE_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("MORTISE_KEY", "")
NOTES = "/workspaces/00000000-0000-0000-0000-000000000002/notes"


def call(method, path, body=None, **headers):
    request = urllib.request.Request(URL + "/v1" + path, None if body is None else json.dumps(body).encode(), method=method)
    for name, value in {"Authorization": "Bearer " + KEY, "Content-Type": "application/json", **headers}.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read() or "null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or "null")


class Notes(unittest.TestCase):
    def test_life_of_a_note(self):
        status, note = call("POST", NOTES, {"title": "Ä \"quoted\" title", "tags": ["a,b", "{c}", "d\"e\\"]})
        self.assertEqual(status, 201)
        self.assertEqual((note["text"], note["pinned"], note["tags"]), ("", False, ["a,b", "{c}", "d\"e\\"]))
        path = f"{NOTES}/{note['id']}"
        self.assertEqual(call("GET", path), (200, note))
        status, changed = call("PATCH", path, {"text": "x\n\u0001", "pinned": True}, If_Match='"1"')
        self.assertEqual((status, changed["text"], changed["pinned"], changed["title"]), (200, "x\n\u0001", True, note["title"]))
        self.assertEqual(call("PATCH", path, {"text": "late"}, If_Match='"1"')[0], 412)
        self.assertIn(note["id"], [n["id"] for n in call("GET", NOTES + "?limit=200")[1]["items"]])
        self.assertEqual(call("DELETE", path)[0], 204)
        self.assertEqual(call("DELETE", path)[0], 404)

    def test_refusals(self):
        for body in ({}, {"title": ""}, {"title": None}, {"title": "x", "id": str(uuid.uuid4())}, {"title": "x", "tags": [1]}, {"title": "nul \u0000"}):
            self.assertIn(call("POST", NOTES, body)[0], (400, 422), body)
        self.assertEqual(call("GET", f"{NOTES}/{uuid.uuid4()}")[0], 404)
        self.assertEqual(call("GET", f"/workspaces/{uuid.uuid4()}/notes")[0], 404)
        self.assertEqual(call("GET", NOTES + "?cursor=AAAA")[0], 400)

    def test_same_key_writes_once(self):
        key = uuid.uuid4().hex
        first = call("POST", NOTES, {"title": "once"}, Idempotency_Key=key)
        again = call("POST", NOTES, {"title": "once"}, Idempotency_Key=key)
        self.assertEqual((first[0], first), (201, again))
        self.assertEqual(call("POST", NOTES, {"title": "other"}, Idempotency_Key=key)[0], 422)
        call("DELETE", f"{NOTES}/{first[1]['id']}")

    def test_same_key_at_the_same_time(self):
        key, title, answers = uuid.uuid4().hex, uuid.uuid4().hex, []
        threads = [threading.Thread(target=lambda: answers.append(call("POST", NOTES, {"title": title}, Idempotency_Key=key))) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        made = [body["id"] for status, body in answers if status == 201]
        self.assertEqual(len(set(made)), 1)
        self.assertEqual({status for status, _ in answers} - {201, 409}, set())
        self.assertEqual([n["title"] for n in call("GET", NOTES + "?limit=200")[1]["items"]].count(title), 1)


if __name__ == "__main__":
    unittest.main()
