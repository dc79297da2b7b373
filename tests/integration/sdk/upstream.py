"""A model's provider that speaks OpenAI's chat completions, for one test: upstream.py PORT. The key is sk-right; the answer is the question, word by word."""
import http.server
import json
import sys


class Upstream(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/v1/chat/completions" or self.headers["authorization"] != "Bearer sk-right":
            self.send_error(401)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for word in asked["messages"][-1]["content"].split():
            self.event({"choices": [{"delta": {"content": word + " "}}]})
        self.event({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, data):
        self.wfile.write(b"data: " + json.dumps(data).encode() + b"\n\n")

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Upstream).serve_forever()
