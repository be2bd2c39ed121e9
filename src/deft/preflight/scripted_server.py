"""A model on loopback that says a fixed list of shell commands and then ends its turn.

Just enough of the messages API for one short conversation of a client: an answer as server-sent events or
as one record, a count of tokens, and 200 to whatever else is asked. It listens on 127.0.0.1 while its block
runs.
"""

from __future__ import annotations

import itertools
import json
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NUMBERS = itertools.count(1)  # a client takes two answers of one id for one
LAST_WORDS = "That was all."
MAX_BODY = 64 * 1024 * 1024
Record = dict[str, Any]


@dataclass
class ScriptedModel:
    """The commands that the model calls one after the other, and what each of them answered."""

    commands: Sequence[str]
    url: str = ""
    results: dict[int, str] = field(default_factory=dict)
    token: str = field(default_factory=lambda: secrets.token_hex(16))

    def answer(self, body: Record) -> Record:
        """Return the block that follows a request; requests without tools (titles) get a text."""
        messages = [message for message in body.get("messages") or [] if isinstance(message, dict)]
        if not body.get("tools"):
            return {"type": "text", "text": LAST_WORDS}
        for number, text in _results(messages):
            self.results[number] = text
        turn = sum(message.get("role") == "assistant" for message in messages)
        if turn >= len(self.commands):
            return {"type": "text", "text": LAST_WORDS}
        given = {"command": self.commands[turn], "description": "a step of the check"}
        return {"type": "tool_use", "id": f"toolu_{turn:06}", "name": "Bash", "input": given}


def _results(messages: list[Record]) -> Iterator[tuple[int, str]]:
    """Yield the number of each command that was answered, with the answer's text."""
    for message in messages:
        content = message.get("content")
        for block in content if isinstance(content, list) else []:
            if block.get("type") == "tool_result":
                yield int(block["tool_use_id"].rpartition("_")[2]), _text(block.get("content"))


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text", "")) for part in parts)


def _message(body: Record, block: Record) -> Record:
    """Return an answer as the API's record."""
    ended = "tool_use" if block["type"] == "tool_use" else "end_turn"
    name = {"id": f"msg_{next(NUMBERS):06}", "type": "message", "role": "assistant"}
    usage = {"input_tokens": 1, "output_tokens": 1}
    rest = {"content": [block], "stop_reason": ended, "stop_sequence": None, "usage": usage}
    return {**name, "model": body.get("model"), **rest}


def _events(message: Record) -> Iterator[Record]:
    """Yield the server-sent events of an answer of one block."""
    (block,) = message["content"]
    if block["type"] == "text":
        start, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
    else:
        given = json.dumps(block["input"])
        start, delta = {**block, "input": {}}, {"type": "input_json_delta", "partial_json": given}
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    yield {"type": "content_block_start", "index": 0, "content_block": start}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": message["usage"]}
    yield {"type": "message_stop"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: ScriptedModel

    def log_message(self, *_: object) -> None:
        """Say nothing on the terminal."""

    def do_HEAD(self) -> None:
        if self._is_the_clients():
            self._send(b"", "application/json")

    def do_GET(self) -> None:
        if self._is_the_clients():
            self._send(b"{}", "application/json")

    def _is_the_clients(self) -> bool:
        """Refuse who does not know the token, and what a page in a browser sends: another name of this
        address, an origin, an endless body.
        """
        length = self.headers.get("Content-Length") or "0"
        names = {f"{name}:{self.server.server_port}" for name in ("127.0.0.1", "localhost")}  # type: ignore[attr-defined]
        is_a_page = "Origin" in self.headers or "Sec-Fetch-Site" in self.headers
        if (
            self.path.startswith(f"/{self.model.token}/")
            and self.headers.get("Host") in names
            and not is_a_page
            and length.isdecimal()
            and int(length) <= MAX_BODY
        ):
            return True
        self.close_connection = True
        self._send(b"{}", "application/json", status=403)
        return False

    def do_POST(self) -> None:
        if not self._is_the_clients():
            return
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.path.partition("?")[0] != f"/{self.model.token}/v1/messages":
            self._send(b'{"input_tokens": 1}', "application/json")
            return
        message = _message(body, self.model.answer(body))
        if not body.get("stream"):
            self._send(json.dumps(message).encode(), "application/json")
            return
        lines = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in _events(message))
        self._send("".join(lines).encode(), "text/event-stream")

    def _send(self, content: bytes, kind: str, *, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Let a client that is gone, or that sends what is no request, go without a word."""


@contextmanager
def serving(commands: Sequence[str]) -> Iterator[ScriptedModel]:
    """Serve a model that calls these commands on a free port of 127.0.0.1 until the block ends."""
    model = ScriptedModel(commands)
    server = _Server(("127.0.0.1", 0), type("_BoundHandler", (_Handler,), {"model": model}))
    model.url = f"http://127.0.0.1:{server.server_address[1]}/{model.token}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
