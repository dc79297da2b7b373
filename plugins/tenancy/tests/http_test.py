#!/usr/bin/env python3
"""Tenancy through a running server: MORTISE_URL (http://127.0.0.1:8000) and MORTISE_KEY (an administrator's key) name it."""
import datetime
import json
import os
import threading
import time
import unittest
import urllib.error
import urllib.request
import uuid

URL = os.environ.get("MORTISE_URL", "http://127.0.0.1:8000")
ADMIN = os.environ.get("MORTISE_KEY", "")
DEFAULT_ORGANIZATION = "00000000-0000-0000-0000-000000000001"
DEFAULT_WORKSPACE = "00000000-0000-0000-0000-000000000002"
DEFAULT_AGENT = "00000000-0000-0000-0000-000000000003"


class Answer:
    def __init__(self, status, headers, text):
        self.status, self.headers = status, headers
        self.body = json.loads(text) if text else None

    @property
    def code(self):
        return self.body and self.body.get("code")


def call(method, path, body=None, key=None, headers=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + "/v1" + path, data, method=method)
    request.add_header("Authorization", "Bearer " + (key or ADMIN))
    if data is not None:
        request.add_header("Content-Type", "application/json")
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read())


def word():
    return "t" + uuid.uuid4().hex[:12]


class Case(unittest.TestCase):
    def ok(self, status, method, path, *args, **kwargs):
        answer = call(method, path, *args, **kwargs)
        self.assertEqual(answer.status, status, f"{method} {path}: {answer.body}")
        return answer

    def organization(self, **more):
        return self.ok(201, "POST", "/organizations", {"name": "Test", "slug": word(), "plan_tier": "pro", **more}).body

    def workspace(self, organization, **more):
        return self.ok(201, "POST", f"/organizations/{organization['id']}/workspaces", {"name": "W", "slug": word(), **more}).body

    def tenant(self, scopes=("admin",)):
        """An organization with a key of its own and one workspace."""
        organization = self.organization()
        made = self.ok(201, "POST", f"/organizations/{organization['id']}/api-keys", {"name": "own", "scopes": list(scopes)}).body
        return organization, made["key"], self.workspace(organization)


class Organizations(Case):
    def test_as_the_first_seed_shows(self):
        slug = word()
        made = self.ok(201, "POST", "/organizations", {"name": "Acme Corp", "slug": slug, "plan_tier": "pro",
                                                       "contact_email": "admin@acme.com", "contact_name": "Admin User"})
        self.assertEqual((made.body["max_workspaces"], made.body["max_documents_per_workspace"]), (10, 5000))
        self.assertEqual(made.headers["Location"], f"/v1/organizations/{made.body['id']}")
        read = self.ok(200, "GET", f"/organizations/{made.body['id']}")
        self.assertEqual(read.body, made.body)
        self.assertEqual(read.headers["ETag"], made.headers["ETag"])
        taken = self.ok(409, "POST", "/organizations", {"name": "Other", "slug": slug})
        self.assertEqual((taken.code, taken.body["pointer"]), ("organization_slug_taken", "/slug"))

    def test_same_key_creates_once(self):
        body, again = {"name": "Once", "slug": word()}, {"Idempotency-Key": uuid.uuid4().hex}
        first = self.ok(201, "POST", "/organizations", body, headers=again)
        self.assertEqual(self.ok(201, "POST", "/organizations", body, headers=again).body, first.body)
        self.ok(422, "POST", "/organizations", {"name": "Other", "slug": word()}, headers=again)
        failed = {"Idempotency-Key": uuid.uuid4().hex}
        for _ in range(2):
            self.assertEqual(self.ok(409, "POST", "/organizations", body, headers=failed).code, "organization_slug_taken")

    def test_change_and_delete(self):
        organization = self.organization()
        path = f"/organizations/{organization['id']}"
        changed = self.ok(200, "PATCH", path, {"name": "New", "settings": {"a": 1}}, headers={"If-Match": '"1"'})
        self.assertEqual((changed.body["name"], changed.body["settings"], changed.body["slug"]), ("New", {"a": 1}, organization["slug"]))
        self.ok(412, "PATCH", path, {"name": "Late"}, headers={"If-Match": '"1"'})
        put = self.ok(200, "PUT", path, {"name": "Put", "slug": organization["slug"]})
        self.assertEqual((put.body["settings"], put.body["plan_tier"]), ({}, "pro"))
        self.ok(422, "PATCH", path, {"unknown": 1})
        self.ok(204, "DELETE", path)
        self.ok(404, "GET", path)
        self.ok(404, "DELETE", path)

    def test_plans_set_limits(self):
        free = self.organization(plan_tier="free")
        self.assertEqual(free["max_workspaces"], 1)
        path = f"/organizations/{free['id']}"
        self.workspace(free)
        self.assertEqual(self.ok(429, "POST", path + "/workspaces", {"name": "2", "slug": "two"}).code, "quota_exceeded")
        self.assertEqual(self.ok(200, "PATCH", path, {"plan_tier": "professional"}).body["plan_tier"], "pro")
        self.workspace(free)
        self.assertIsNone(self.ok(200, "PATCH", path, {"max_workspaces": None}).body["max_workspaces"])
        self.assertEqual(self.ok(200, "PATCH", path, {"max_workspaces": 2}).body["max_workspaces"], 2)
        self.ok(429, "POST", path + "/workspaces", {"name": "3", "slug": "three"})

    def test_concurrent_creation_stops_at_the_limit(self):
        organization = self.organization(plan_tier="starter")
        answers = []

        def create():
            answers.append(call("POST", f"/organizations/{organization['id']}/workspaces", {"name": "W", "slug": word()}).status)

        threads = [threading.Thread(target=create) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(answers), [201] * 3 + [429] * 5)

    def test_tenants_set_no_plan(self):
        organization, key, _ = self.tenant()
        path = f"/organizations/{organization['id']}"
        for member, value in (("plan_tier", "enterprise"), ("max_workspaces", None), ("max_documents_per_workspace", 9)):
            refused = self.ok(403, "PATCH", path, {member: value}, key=key)
            self.assertEqual((refused.code, refused.body["pointer"]), ("plan_is_the_platforms", "/" + member))
        self.ok(200, "PATCH", path, {"name": "Mine", "settings": {"note": "max_workspaces"}}, key=key)
        self.assertEqual(self.ok(200, "GET", path).body["max_workspaces"], 10)

    def test_lists_are_the_platforms(self):
        made = {self.organization()["id"] for _ in range(3)}
        _, key, _ = self.tenant()
        self.ok(403, "GET", "/organizations", key=key)
        self.ok(403, "POST", "/organizations", {"name": "No", "slug": word()}, key=key)
        seen, cursor = [], ""
        while cursor is not None:
            page = self.ok(200, "GET", "/organizations?limit=2" + cursor).body
            self.assertLessEqual(len(page["items"]), 2)
            seen += [o["id"] for o in page["items"]]
            cursor = page["next_cursor"] and "&cursor=" + page["next_cursor"]
        self.assertEqual(len(seen), len(set(seen)))
        self.assertLessEqual(made | {DEFAULT_ORGANIZATION}, set(seen))
        self.assertEqual(self.ok(400, "GET", "/organizations?cursor=nonsense").code, "cursor_invalid")
        self.ok(422, "GET", "/organizations?limit=0")

    def test_defaults_are_there_and_stay(self):
        self.assertEqual(self.ok(200, "GET", f"/organizations/{DEFAULT_ORGANIZATION}").body["slug"], "default")
        self.assertEqual(self.ok(200, "GET", f"/workspaces/{DEFAULT_WORKSPACE}").body["organization_id"], DEFAULT_ORGANIZATION)
        self.ok(200, "GET", f"/workspaces/{DEFAULT_WORKSPACE}/agents/{DEFAULT_AGENT}")
        self.assertEqual(self.ok(409, "DELETE", f"/organizations/{DEFAULT_ORGANIZATION}").code, "organization_holds_administrators")


class Workspaces(Case):
    def test_create_read_change_delete(self):
        organization = self.organization()
        made = self.workspace(organization, slug="docs", description="Knowledge")
        self.assertEqual((made["organization_id"], made["description"], made["settings"]), (organization["id"], "Knowledge", {}))
        path = f"/workspaces/{made['id']}"
        self.assertEqual(self.ok(200, "GET", path).body, made)
        self.assertEqual(self.ok(409, "POST", f"/organizations/{organization['id']}/workspaces", {"name": "x", "slug": "docs"}).code, "workspace_slug_taken")
        self.workspace(self.organization(), slug="docs")
        self.assertIsNone(self.ok(200, "PATCH", path, {"description": None}).body["description"])
        self.assertEqual(self.ok(200, "PUT", path, {"name": "P", "slug": "docs2"}).body["name"], "P")
        self.ok(204, "DELETE", path)
        self.ok(404, "GET", path)
        self.workspace(organization, slug="docs2")

    def test_pages(self):
        organization = self.organization()
        made = [self.workspace(organization)["id"] for _ in range(5)]
        path = f"/organizations/{organization['id']}/workspaces"
        first = self.ok(200, "GET", path + "?limit=3").body
        second = self.ok(200, "GET", path + "?limit=3&cursor=" + first["next_cursor"]).body
        self.assertEqual([w["id"] for w in first["items"] + second["items"]], made[::-1])
        self.assertIsNone(second["next_cursor"])

    def test_bad_bodies(self):
        path = f"/organizations/{self.organization()['id']}/workspaces"
        for body in ({}, {"name": "x"}, {"name": "", "slug": "x"}, {"name": "x", "slug": "-x"}, {"name": "x", "slug": "X"}, {"name": "x", "slug": "x", "org_id": "y"}, []):
            self.ok(422, "POST", path, body)
        self.ok(404, "GET", "/workspaces/not-an-id")
        self.ok(404, "GET", f"/workspaces/{uuid.uuid4()}")


class Agents(Case):
    def test_as_the_first_seed_shows(self):
        workspace = self.workspace(self.organization())
        path = f"/workspaces/{workspace['id']}/agents"
        body = {"name": "Support Bot", "slug": "support-bot", "description": "Helpful", "system_prompt": "You are helpful", "model_provider": "openai",
                "model_name": "gpt-4", "temperature": 0.7, "enabled_tools": ["vector_search", "hybrid_search"], "tool_config": {"k": [1]}}
        made = self.ok(201, "POST", path, body).body
        for name, value in body.items():
            self.assertEqual(made[name], value)
        self.assertEqual((made["workspace_id"], made["is_active"]), (workspace["id"], True))
        one = f"{path}/{made['id']}"
        changed = self.ok(200, "PATCH", one, {"name": "Updated Name", "temperature": 0.8, "is_active": False}).body
        self.assertEqual((changed["name"], changed["temperature"], changed["is_active"], changed["slug"]), ("Updated Name", 0.8, False, "support-bot"))
        self.assertEqual([a["id"] for a in self.ok(200, "GET", path).body["items"]], [made["id"]])
        self.assertEqual(self.ok(409, "POST", path, body).code, "agent_slug_taken")
        self.ok(422, "PATCH", one, {"temperature": 3})
        self.ok(204, "DELETE", one)
        self.ok(404, "GET", one)

    def test_etag(self):
        workspace = self.workspace(self.organization())
        one = f"/workspaces/{workspace['id']}/agents/" + self.ok(201, "POST", f"/workspaces/{workspace['id']}/agents", {"name": "A", "slug": "a"}).body["id"]
        etag = self.ok(200, "GET", one).headers["ETag"]
        self.ok(304, "GET", one, headers={"If-None-Match": etag})
        statuses = []

        def change():
            statuses.append(call("PATCH", one, {"name": word()}, headers={"If-Match": etag}).status)

        threads = [threading.Thread(target=change) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(statuses), [200, 412, 412, 412])


class Keys(Case):
    def test_as_the_first_seed_shows(self):
        workspace = self.workspace(self.organization())
        path = f"/workspaces/{workspace['id']}/api-keys"
        made = self.ok(201, "POST", path, {"name": "Production Key", "scopes": ["chat", "search"], "rate_limit_per_minute": 60}).body
        self.assertTrue(made["key"].startswith("sk_live_"))
        self.assertEqual(made["key_prefix"], made["key"][:13])
        self.assertEqual((made["workspace_id"], made["rate_limit_per_minute"]), (workspace["id"], 60))
        listed = self.ok(200, "GET", path)
        self.assertNotIn(made["key"], json.dumps(listed.body))
        self.assertEqual([k["id"] for k in listed.body["items"]], [made["id"]])
        read = self.ok(200, "GET", f"/workspaces/{workspace['id']}", key=made["key"])
        self.assertEqual(read.headers["RateLimit-Limit"], "60")
        self.ok(403, "PATCH", f"/workspaces/{workspace['id']}", {"name": "no"}, key=made["key"])
        self.ok(204, "DELETE", f"{path}/{made['id']}")
        self.ok(204, "DELETE", f"{path}/{made['id']}")
        self.assertFalse(self.ok(200, "GET", path).body["items"][0]["is_active"])
        for _ in range(50):
            refused = call("GET", f"/workspaces/{workspace['id']}", key=made["key"])
            if refused.status == 401:
                break
        self.assertEqual((refused.status, refused.code), (401, "key_revoked"))

    def test_forms_and_refusals(self):
        path = f"/workspaces/{self.workspace(self.organization())['id']}/api-keys"
        test = self.ok(201, "POST", path, {"name": "t", "mode": "test", "expires_at": "2999-01-01T00:00:00Z"}).body
        self.assertTrue(test["key"].startswith("sk_test_"))
        self.assertEqual(test["expires_at"], "2999-01-01T00:00:00.000000Z")
        self.assertEqual(test["scopes"], ["chat", "search"])
        past = self.ok(422, "POST", path, {"name": "t", "expires_at": "2001-01-01T00:00:00Z"})
        self.assertEqual((past.code, past.body["pointer"]), ("expiry_in_the_past", "/expires_at"))
        for body in ({}, {"name": "x", "scopes": []}, {"name": "x", "scopes": ["root"]}, {"name": "x", "rate_limit_per_minute": 0}, {"name": "x", "platform": True}):
            self.ok(422, "POST", path, body)
        for key in ("sk_live_" + "A" * 43, "x"):
            self.assertEqual(self.ok(401, "GET", "/hello", key=key).code, "credential_invalid")

    def test_expiry(self):
        workspace = self.workspace(self.organization())
        soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)).isoformat()
        key = self.ok(201, "POST", f"/workspaces/{workspace['id']}/api-keys", {"name": "short", "expires_at": soon}).body["key"]
        self.ok(200, "GET", f"/workspaces/{workspace['id']}", key=key)
        deadline = time.monotonic() + 5
        answer = call("GET", "/hello", key=key)
        while answer.status != 401 and time.monotonic() < deadline:
            answer = call("GET", "/hello", key=key)
            time.sleep(0.02)
        self.assertEqual((answer.status, answer.code), (401, "key_expired"))

    def test_rate_of_a_key(self):
        workspace = self.workspace(self.organization())
        key = self.ok(201, "POST", f"/workspaces/{workspace['id']}/api-keys", {"name": "slow", "rate_limit_per_minute": 5}).body["key"]
        answers = [call("GET", f"/workspaces/{workspace['id']}", key=key) for _ in range(7)]
        self.assertEqual([a.status for a in answers], [200] * 5 + [429] * 2)
        self.assertEqual(answers[-1].code, "rate_limited")
        self.assertGreater(int(answers[-1].headers["Retry-After"]), 0)

    def test_last_use_is_noted(self):
        workspace = self.workspace(self.organization())
        path = f"/workspaces/{workspace['id']}/api-keys"
        key = self.ok(201, "POST", path, {"name": "used"}).body["key"]
        self.assertIsNone(self.ok(200, "GET", path).body["items"][0]["last_used_at"])
        self.ok(200, "GET", f"/workspaces/{workspace['id']}", key=key)
        noted, end = None, time.monotonic() + 10
        while not noted and time.monotonic() < end:
            noted = self.ok(200, "GET", path).body["items"][0]["last_used_at"]
        self.assertIsNotNone(noted)


class Isolation(Case):
    def test_another_tenants_ids_are_nothing(self):
        _, key, _ = self.tenant()
        other, _, workspace = self.tenant()
        agent = self.ok(201, "POST", f"/workspaces/{workspace['id']}/agents", {"name": "A", "slug": "a"}).body
        ours = self.ok(404, "GET", f"/workspaces/{uuid.uuid4()}", key=key).body
        for method, path, body in (
                ("GET", f"/organizations/{other['id']}", None), ("PATCH", f"/organizations/{other['id']}", {"name": "x"}),
                ("DELETE", f"/organizations/{other['id']}", None), ("GET", f"/organizations/{other['id']}/workspaces", None),
                ("POST", f"/organizations/{other['id']}/workspaces", {"name": "x", "slug": "x"}),
                ("POST", f"/organizations/{other['id']}/api-keys", {"name": "x"}), ("GET", f"/organizations/{other['id']}/api-keys", None),
                ("GET", f"/workspaces/{workspace['id']}", None), ("PATCH", f"/workspaces/{workspace['id']}", {"name": "x"}),
                ("DELETE", f"/workspaces/{workspace['id']}", None), ("GET", f"/workspaces/{workspace['id']}/agents", None),
                ("GET", f"/workspaces/{workspace['id']}/agents/{agent['id']}", None), ("POST", f"/workspaces/{workspace['id']}/api-keys", {"name": "x"})):
            refused = self.ok(404, method, path, body, key=key).body
            self.assertEqual({**refused, "request_id": 0}, {**ours, "request_id": 0})
        self.assertEqual(self.ok(200, "GET", f"/organizations/{other['id']}").body, other)

    def test_an_agent_of_another_workspace(self):
        _, key, workspace = self.tenant()
        organization, _, foreign = self.tenant()
        agent = self.ok(201, "POST", f"/workspaces/{foreign['id']}/agents", {"name": "A", "slug": "a"}).body
        for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
            self.ok(404, method, f"/workspaces/{workspace['id']}/agents/{agent['id']}", body, key=key)
            self.ok(404, method, f"/workspaces/{self.workspace(organization)['id']}/agents/{agent['id']}", body)

    def test_a_workspaces_key_stays_in_it(self):
        organization, _, workspace = self.tenant()
        second = self.workspace(organization)
        key = self.ok(201, "POST", f"/workspaces/{workspace['id']}/api-keys", {"name": "w", "scopes": ["admin"]}).body["key"]
        home = f"/organizations/{organization['id']}"
        self.ok(200, "PATCH", f"/workspaces/{workspace['id']}", {"name": "mine"}, key=key)
        self.ok(404, "GET", f"/workspaces/{second['id']}", key=key)
        self.ok(404, "DELETE", f"/workspaces/{second['id']}", key=key)
        self.assertEqual([w["id"] for w in self.ok(200, "GET", home + "/workspaces", key=key).body["items"]], [workspace["id"]])
        self.ok(200, "GET", home, key=key)
        self.ok(404, "PATCH", home, {"name": "x"}, key=key)
        self.ok(404, "PUT", home, {"name": "x", "slug": word()}, key=key)
        self.ok(404, "DELETE", home, key=key)
        self.ok(404, "POST", home + "/workspaces", {"name": "x", "slug": "x"}, key=key)
        self.ok(404, "POST", home + "/api-keys", {"name": "x", "scopes": ["admin"]}, key=key)
        self.assertEqual(self.ok(200, "GET", home + "/api-keys", key=key).body["items"], [])
        made = self.ok(201, "POST", f"/workspaces/{workspace['id']}/api-keys", {"name": "child", "scopes": ["admin"]}, key=key).body
        self.ok(404, "GET", f"/workspaces/{second['id']}", key=made["key"])

    def test_deleting_takes_keys_along(self):
        organization, key, workspace = self.tenant()
        self.ok(200, "GET", f"/workspaces/{workspace['id']}", key=key)
        self.ok(204, "DELETE", f"/organizations/{organization['id']}")
        for _ in range(50):
            gone = call("GET", f"/workspaces/{workspace['id']}", key=key)
            if gone.status == 401:
                break
        self.assertEqual(gone.status, 401)


if __name__ == "__main__":
    unittest.main()
