"""HTTP as the tests speak it: a base address, a key, and calls that fail with the whole answer when the status is another."""
import json
import uuid

import httpx

TransportError = httpx.TransportError


class Client(httpx.Client):
    def __init__(self, url, key=None, **options):
        headers = {"authorization": f"Bearer {key}"} if key else {}
        super().__init__(base_url=url, headers=headers, timeout=options.pop("timeout", 60.0), trust_env=False,
                         verify=not url.startswith("https://127.0.0.1"), **options)
        self.key = key

    def call(self, method, path, status=200, **options):
        """The answer, whose status must be `status` (a number or several). JSON bodies come parsed in .data."""
        answer = self.request(method, path, **options)
        wanted = status if isinstance(status, tuple) else (status,)
        assert answer.status_code in wanted, f"{method} {path}: {answer.status_code}, not {status}\n{answer.text[:2000]}"
        answer.data = answer.json() if "json" in answer.headers.get("content-type", "") else None
        return answer

    def pages(self, path, limit=2, **params):
        """Every item of a list, a page at a time."""
        cursor, items = None, []
        while True:
            query = {"limit": limit, **params, **({"cursor": cursor} if cursor else {})}
            data = self.call("GET", path, params=query).data
            assert len(data["items"]) <= limit
            items += data["items"]
            cursor = data["next_cursor"]
            if not cursor:
                return items

    def upload(self, workspace, *files, wait=True, status=(200, 202), **options):
        """files: (name, bytes) or (name, bytes, type). The answer's items."""
        parts = [("file", file) for file in files]
        path = f"/workspaces/{workspace}/documents/upload"
        return self.call("POST", path, status, files=parts, params={"wait": "true"} if wait else {}, **options).data["items"]

    def search(self, workspace, query, **body):
        return self.call("POST", f"/workspaces/{workspace}/search", json={"query": query, **body}).data["results"]

    def chat(self, workspace, query, **body):
        return self.call("POST", f"/workspaces/{workspace}/chat", json={"query": query, **body}).data

    def chat_stream(self, workspace, query, **body):
        """The events of a streamed answer: [(name, data)]."""
        with self.stream("POST", f"/workspaces/{workspace}/chat", json={"query": query, "stream": True, **body}) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            return list(events(answer.iter_lines()))


def events(lines):
    """Server-sent events as (name, parsed data)."""
    name, data = None, []
    for line in lines:
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            data.append(line[6:])
        elif not line and data:
            yield name, json.loads("\n".join(data))
            name, data = None, []


class Tenant:
    """An organization with a workspace and a key for all of it. model answers in its workspaces when nobody names one: the quoting one needs no
    memory and says the same words always; None: what the server answers with."""

    def __init__(self, server, slug, model="extractive"):
        self.server, self.slug, self.model = server, slug, model
        with server.admin() as admin:
            self.org = admin.call("POST", "/organizations", 201, json={"name": slug, "slug": slug, "plan_tier": "enterprise"}).data["id"]
            self.key_id, self.key = self.make_key(admin, f"/organizations/{self.org}/api-keys")
        self.api = Client(server.url, self.key)
        self.workspace = self.new_workspace("main")

    def make_key(self, api, path, **body):
        made = api.call("POST", path, 201, json={"name": "test", "scopes": ["admin"], "rate_limit_per_minute": 10_000_000, **body}).data
        return made["id"], made["key"]

    def new_workspace(self, slug):
        made = self.api.call("POST", f"/organizations/{self.org}/workspaces", 201, json={"name": slug, "slug": slug}).data["id"]
        if self.model:
            self.api.call("PUT", f"/workspaces/{made}/model-settings", json={"default_model": self.model})
        return made

    def workspace_client(self, workspace, **body):
        """A client whose key is bound to one workspace."""
        return Client(self.server.url, self.make_key(self.api, f"/workspaces/{workspace}/api-keys", **body)[1])


def new_id():
    return str(uuid.uuid4())
