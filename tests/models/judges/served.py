"""What stands between a judge and its server in tests: a proxy that does harm as it is told."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

KEY = "sk-the-key-of-the-judge"
Upstream = Callable[[str, dict[str, Any]], tuple[int, bytes]]  # path and body of a request

# Harm that is done to one request each.
DROP, SLOW, CUT, GARBAGE, NO_CHOICE = "drop", "slow", "cut", "garbage", "no choice"
RETRY = "429 with Retry-After"
BABBLE, SHORT = "babble", "short"  # a reply without a verdict; one that is cut off
HARM = (500, DROP, 503, SLOW, RETRY, CUT, GARBAGE, NO_CHOICE, 502, 429)


class Proxy(ThreadingHTTPServer):
    """Passes requests on to `upstream`, but for those that `harm` has something for, first first.

    `asked` counts the questions that came, by their text, and `passed` what went through whole.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.harm: list[int | str] = []
        self.asked: list[dict[str, Any]] = []
        self.passed: list[str] = []
        self.lock = threading.Lock()
        self.slow = 3.0  # seconds

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has hung up is what tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.allowed():
            self.answer(*self.server.upstream(self.path, {}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed():
            return
        with self.server.lock:
            self.server.asked.append(body)
            harm = self.server.harm.pop(0) if self.server.harm else None
        if harm == SLOW:
            time.sleep(self.server.slow)
        if harm in (SLOW, DROP):
            self.close_connection = True
            return
        if isinstance(harm, int):
            return self.answer(harm, b"not now")
        if harm == RETRY:
            return self.answer(429, b"not now", {"Retry-After": "0.2"})
        if harm == GARBAGE:
            return self.answer(200, b"<html>gateway</html>")
        if harm == NO_CHOICE:
            return self.answer(200, b'{"choices": []}')
        if harm == BABBLE:
            return self.answer(*completion("Verdict: both"))
        if harm == SHORT:
            return self.answer(*completion("Verdict: A", "length"))
        status, content = self.server.upstream(self.path, body)
        if harm == CUT:
            content = content[: len(content) // 2]
        else:
            with self.server.lock:
                self.server.passed.append(json.dumps(body["messages"]))
        self.answer(status, content)

    def allowed(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {KEY}":
            return True
        sent = self.headers.get("Authorization", "")
        self.answer(401, json.dumps({"error": f"Incorrect API key: {sent}"}).encode())
        return False

    def answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def proxy_to(upstream: Upstream) -> Iterator[Proxy]:
    proxy = Proxy(upstream)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()


def through(url: str) -> Upstream:
    """Requests go to a real server at this root."""

    def upstream(path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        method = "POST" if body else "GET"
        answer = httpx.request(method, url + path, json=body or None, timeout=300)
        return answer.status_code, answer.content

    return upstream


def completion(
    text: str | None, reason: str = "stop", usage: tuple[int, int] | None = (10, 3)
) -> tuple[int, bytes]:
    """A chat completion as servers write it."""
    content: dict[str, Any] = {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": reason}]
    }
    if usage:
        content["usage"] = dict(zip(("prompt_tokens", "completion_tokens"), usage, strict=True))
    return 200, json.dumps(content).encode()
