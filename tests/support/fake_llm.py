"""A local server that speaks the wire formats of four providers of language models, well or badly: the model's name says how.

    ok              an answer of WORDS, with counts
    tools           a call of the tool "lookup", its arguments in pieces
    limited         429 with Retry-After: 1, always;  limited-once: only the first time
    fail            500;  recovers: 500 for the first four;  key: 401 with a key in its sentence;  bad: 400
    hang-head       takes the request and says nothing
    hang-mid        stops after two words;  cut-mid: the connection ends after two words;  early-end: a clean end, but no end of the answer
    error-mid       an error event after two words
    garbage, truncated, huge, html, drip    what they say, with status 200
"""
import collections
import json
import socketserver
import threading

WORDS = ["Ada ", "Lovelace ", "wrote ", "it. ", "[1]"]
ANSWER = "".join(WORDS)
INPUT, CACHED, OUTPUT = 120, 20, 9


class Format:
    """How one provider writes its answer. Each piece is bytes of the body."""
    type = "text/event-stream"

    def event(self, data, name=None):
        head = f"event: {name}\n" if name else ""
        return f"{head}data: {json.dumps(data)}\n\n".encode()


class OpenAI(Format):
    path = "/v1/chat/completions"

    def chunk(self, delta, finish=None):
        return self.event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m",
                           "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}], "usage": None})

    def start(self):
        return self.chunk({"role": "assistant", "content": "", "refusal": None})

    def word(self, text):
        return self.chunk({"content": text})

    def tools(self):
        call = lambda **f: self.chunk({"tool_calls": [{"index": 0, **f}]})
        return (call(id="call_a", type="function", function={"name": "lookup", "arguments": ""}) + call(function={"arguments": '{"na'})
                + call(function={"arguments": 'me":"Ada"}'}))

    def end(self, finish):
        usage = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT, "prompt_tokens_details": {"cached_tokens": CACHED}}
        return (self.chunk({}, finish) + self.event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": usage})
                + b"data: [DONE]\n\n")

    def error(self):
        return self.event({"error": {"message": "The server had an error", "type": "server_error", "code": None}})

    finishes = {"stop": "stop", "tools": "tool_calls"}


class Anthropic(Format):
    path = "/v1/messages"

    def typed(self, name, **fields):
        return self.event({"type": name, **fields}, name)

    def start(self):
        usage = {"input_tokens": INPUT - CACHED, "cache_read_input_tokens": CACHED, "cache_creation_input_tokens": 0, "output_tokens": 1}
        return (self.typed("message_start", message={"id": "msg_1", "type": "message", "role": "assistant", "content": [], "usage": usage})
                + self.typed("content_block_start", index=0, content_block={"type": "text", "text": ""}) + self.typed("ping"))

    def word(self, text):
        return self.typed("content_block_delta", index=0, delta={"type": "text_delta", "text": text})

    def tools(self):
        piece = lambda text: self.typed("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": text})
        return (self.typed("content_block_stop", index=0)
                + self.typed("content_block_start", index=1, content_block={"type": "tool_use", "id": "toolu_a", "name": "lookup", "input": {}})
                + piece("") + piece('{"na') + piece('me":"Ada"}'))

    def end(self, finish):
        return (self.typed("content_block_stop", index=0)
                + self.typed("message_delta", delta={"stop_reason": finish, "stop_sequence": None}, usage={"output_tokens": OUTPUT}) + self.typed("message_stop"))

    def error(self):
        return self.typed("error", error={"type": "overloaded_error", "message": "Overloaded"})

    finishes = {"stop": "end_turn", "tools": "tool_use"}


class Ollama(Format):
    path, type = "/api/chat", "application/x-ndjson"

    def line(self, content="", done=False, **fields):
        return json.dumps({"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": content, **fields.pop("message", {})},
                           "done": done, **fields}).encode() + b"\n"

    def start(self):
        return b""

    def word(self, text):
        return self.line(text)

    def tools(self):
        return self.line(message={"tool_calls": [{"function": {"name": "lookup", "arguments": {"name": "Ada"}}}]})

    def end(self, finish):
        return self.line(done=True, done_reason=finish, prompt_eval_count=INPUT, eval_count=OUTPUT)

    def error(self):
        return b'{"error":"model runner has unexpectedly stopped"}\n'

    finishes = {"stop": "stop", "tools": "stop"}


class Gemini(Format):
    path = "/v1beta/models/"                     # then the model's name, which is not in the body

    def event(self, data, name=None):
        return f"data: {json.dumps(data)}\r\n\r\n".encode()

    def chunk(self, parts, **more):
        candidate = {"content": {"parts": parts, "role": "model"}, "index": 0, **more}
        return self.event({"candidates": [candidate], "usageMetadata": {"promptTokenCount": INPUT, "totalTokenCount": INPUT}, "modelVersion": "m"})

    def start(self):
        return b""

    def word(self, text):
        return self.chunk([{"text": text}])

    def tools(self):
        return self.chunk([{"functionCall": {"name": "lookup", "args": {"name": "Ada"}}}])

    def end(self, finish):
        usage = {"promptTokenCount": INPUT, "cachedContentTokenCount": CACHED, "candidatesTokenCount": OUTPUT, "totalTokenCount": INPUT + OUTPUT}
        return self.event({"candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": finish, "index": 0}], "usageMetadata": usage})

    def error(self):
        return self.event({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}})

    finishes = {"stop": "STOP", "tools": "STOP"}


FORMATS = {f.path: f for f in (OpenAI(), Anthropic(), Ollama(), Gemini())}


def addressed(path, body):
    """The format that a request is of, and the model that it names."""
    if path.startswith(Gemini.path):
        model, _, method = path[len(Gemini.path):].partition(":")
        assert method == "streamGenerateContent?alt=sse", path
        return FORMATS[Gemini.path], model
    return FORMATS[path], body["model"]


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            while self.one():
                pass
        except OSError:
            pass

    def one(self):
        line = self.rfile.readline().split()
        if not line:
            return False
        headers = {}
        while (text := self.rfile.readline().strip()):
            name, _, value = text.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = json.loads(self.rfile.read(int(headers.get("content-length", 0))))
        f, how = addressed(line[1].decode(), body)
        with self.server.lock:
            self.server.asked[how] += 1
            self.server.requests.append((line[1].decode(), headers, body))
            count = self.server.asked[how]
        return self.answer(f, how, count)

    def head(self, status, type, **extra):
        lines = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in extra.items())
        self.wfile.write(f"HTTP/1.1 {status} X\r\ncontent-type: {type}\r\n{lines}".encode())

    def whole(self, status, text, **extra):
        self.head(status, "application/json", content_length=len(text), **extra)
        self.wfile.write(b"\r\n" + text)
        return True

    def begin(self, f, type=None):
        self.head(200, type or f.type, transfer_encoding="chunked")
        self.wfile.write(b"\r\n")

    def chunk(self, data):
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

    def end(self):
        self.wfile.write(b"0\r\n\r\n")
        return True

    def wait(self):
        """Until the other side leaves."""
        self.connection.recv(1)
        return False

    def answer(self, f, how, count):
        if how.startswith("limited") and not (how == "limited-once" and count > 1):
            return self.whole(429, b'{"error":{"type":"rate_limit_error","message":"slow down"}}', retry_after=1)
        if how == "recovers" and count <= 4:
            how = "fail"
        if how in ("fail", "key", "bad"):
            status = {"fail": 500, "key": 401, "bad": 400}[how]
            return self.whole(status, b'{"error":{"type":"x","message":"Incorrect API key provided: sk-canary-7f3a"}}')
        if how == "hang-head":
            return self.wait()
        if how == "html":
            self.begin(f, "text/html")
            self.chunk(b"<html><body>Bad gateway</body></html>")
            return self.end()
        self.begin(f)
        return getattr(self, how.replace("-", "_"), self.ok)(f)

    def two(self, f):
        self.chunk(f.start())
        for word in WORDS[:2]:
            self.chunk(f.word(word))

    def ok(self, f):
        self.chunk(f.start())
        for word in WORDS:
            self.chunk(f.word(word))
        self.chunk(f.end(f.finishes["stop"]))
        return self.end()

    def tools(self, f):
        self.chunk(f.start() + f.tools() + f.end(f.finishes["tools"]))
        return self.end()

    def hang_mid(self, f):
        self.two(f)
        return self.wait()

    def cut_mid(self, f):
        self.two(f)
        return False

    def early_end(self, f):
        self.two(f)
        return self.end()

    def error_mid(self, f):
        self.two(f)
        self.chunk(f.error())
        return self.end()

    def garbage(self, f):
        self.chunk(bytes(range(256)) * 8 + b"\n\ndata: {\xff\xfe\n\n")
        return self.end()

    def truncated(self, f):
        self.chunk(f.word("Ada")[:-12] + b"\n\n")
        return self.end()

    def huge(self, f):
        for _ in range(40):
            self.chunk(b"x" * 65536)
        return self.end()

    def drip(self, f):
        """Signs of life, but never a word."""
        for _ in range(600):
            self.chunk(b": ping\n\n" if f.type == "text/event-stream" else b"\n")
            if self.server.over.wait(0.05):
                return False
        return self.end()


class FakeLLM(socketserver.ThreadingTCPServer):
    """with FakeLLM() as fake: fake.url; fake.asked counts requests by model; fake.requests holds them."""
    daemon_threads, allow_reuse_address, request_queue_size = True, True, 512

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.requests, self.lock, self.over = collections.Counter(), [], threading.Lock(), threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __exit__(self, *_):
        self.over.set()
        self.shutdown()
        self.server_close()
