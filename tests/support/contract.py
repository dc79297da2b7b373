"""/v1/openapi.json as a judge: every answer must be one that its operation declares."""
import copy
import re

import jsonschema

METHODS = ("get", "post", "put", "patch", "delete")


def closed(schema):
    """The same schema, in which objects that list their members may have no others: an answer that says more has drifted."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: closed(value) if key != "default" else value for key, value in schema.items()}
    if "properties" in out and isinstance(out["properties"], dict):
        out.setdefault("additionalProperties", False)
    return out


class Operation:
    def __init__(self, path, method, spec):
        self.path, self.method, self.spec, self.id = path, method.upper(), spec, spec["operationId"]
        self.public = spec.get("security") == []
        self.pattern = re.compile("^" + re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(path)) + "$")
        self.weight = path.count("{")

    def params(self, where):
        return [p for p in self.spec["parameters"] if p["in"] == where]

    @property
    def content(self):
        return next(iter(self.spec.get("requestBody", {}).get("content", {})), None)

    @property
    def openai(self):
        """Errors come in the format of OpenAI's API, which knows no 422."""
        return self.spec.get("x-problem") == "openai"

    def invalid(self):
        return 400 if self.openai else 422

    def problem(self, answer):
        """code, detail and pointer, whichever format they came in."""
        data = answer.json()
        if not self.openai:
            return data
        error = data["error"]
        return {"code": error["code"], "detail": error["message"], "pointer": f"/{error['param']}" if error["param"] else ""}

    @property
    def is_list(self):
        return any(p["name"] == "cursor" for p in self.params("query"))

    def __repr__(self):
        return self.id


class Contract:
    def __init__(self, document):
        self.document = document
        self.schemas = closed(copy.deepcopy(document["components"]["schemas"]))
        self.operations = [Operation(path, method, spec) for path, item in document["paths"].items()
                           for method, spec in item.items() if method in METHODS]
        self.answered = {}                   # operation id -> statuses seen

    def __getitem__(self, operation_id):
        return next(o for o in self.operations if o.id == operation_id)

    def find(self, method, path):
        """As OpenAPI has it: the most literal path that fits is the one, and only its methods count."""
        hits = [o for o in self.operations if o.pattern.match(path)]
        literal = min((o.weight for o in hits), default=0)
        return next((o for o in hits if o.weight == literal and o.method == method), None)

    def validate(self, schema, data):
        document = {**closed(schema), "components": {"schemas": self.schemas}}
        jsonschema.Draft202012Validator(document, format_checker=jsonschema.FormatChecker()).validate(data)

    def resolve(self, response):
        name = response.get("$ref", "").rsplit("/", 1)[-1]
        return self.document["components"]["responses"][name] if name else response

    def check_problem(self, answer, where, openai):
        data, kind = answer.json(), answer.headers.get("content-type")
        assert answer.headers["x-request-id"], where
        if openai:
            assert kind == "application/json", f"{where}: {answer.text[:500]}"
            self.validate({"$ref": "#/components/schemas/OpenAiProblem"}, data)
            return
        assert kind == "application/problem+json", f"{where}: {answer.text[:500]}"
        self.validate({"$ref": "#/components/schemas/Problem"}, data)
        assert data["status"] == answer.status_code and data["request_id"] == answer.headers["x-request-id"], where

    def check(self, answer):
        """For httpx's response hook: status, content type and body are what the document says."""
        path = answer.request.url.path.removeprefix("/v1")
        operation = self.find(answer.request.method, path)
        where = f"{answer.request.method} {path} -> {answer.status_code}"
        problem = answer.status_code >= 400
        if problem:
            answer.read()
            self.check_problem(answer, where, operation and operation.openai)
        if not operation:
            assert answer.status_code in (400, 401, 404, 405), where
            return
        self.answered.setdefault(operation.id, set()).add(answer.status_code)
        spec = operation.spec["responses"].get(str(answer.status_code))
        assert spec, f"{where} is not declared by {operation.id}: {answer.read()[:500]}"
        if problem:
            return
        content = self.resolve(spec).get("content", {})
        kind = answer.headers.get("content-type", "").split(";")[0]
        assert (kind in content) if content else not kind, f"{where}: {kind!r} is none of {list(content)}"
        if kind == "application/json":
            answer.read()
            self.validate(content[kind]["schema"], answer.json())
