"""A model server on loopback whose model is a Python generator: it reads what the client sent and acts.

A script is a generator function. It receives the first `Turn` of a conversation, yields the blocks that the
model answers with, and is sent the next `Turn`. A lane is chosen by a phrase of the system prompt, so that a
subagent has a script of its own. Requests without tools (titles, summaries) get a fixed text and no turn.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Block = dict[str, Any]
MAIN = ""
EXHAUSTED = "I have nothing to add."


@dataclass(frozen=True)
class Result:
    """What a tool answered, as the model sees it."""

    tool: str
    text: str
    failed: bool
    images: int = 0

    @property
    def record(self) -> dict[str, Any]:
        """The last line of the answer that is a JSON record."""
        lines = [line for line in self.text.splitlines() if line.startswith("{")]
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return found


@dataclass(frozen=True)
class Turn:
    """What is new in a request: tool results, and every text that stands beside them."""

    results: tuple[Result, ...]
    text: str

    @property
    def result(self) -> Result:
        """The only result of a turn in which one tool was called."""
        (found,) = self.results
        return found


Script = Callable[[Turn], Generator[list[Block], Turn, None]]


def say(text: str) -> Block:
    """Return a block of text."""
    return {"type": "text", "text": text}


def use(tool: str, **given: Any) -> Block:
    """Return a block that calls a tool."""
    return {"type": "tool_use", "name": tool, "input": given}


def bash(command: str) -> Block:
    """Return a block that runs a shell command."""
    return use("Bash", command=command, description=command[:40])


@dataclass
class Request:
    """A request of the client: its lane, its body without the pictures' bytes, and what was answered."""

    lane: str
    body: dict[str, Any]
    turn: Turn
    reply: list[Block]

    def size(self, part: str) -> int:
        """Characters of one part of the body, as JSON."""
        return characters(self.body.get(part))


@dataclass
class Lane:
    """The script of every conversation whose system prompt holds a phrase, and where it stands."""

    phrase: str
    script: Script
    running: Generator[list[Block], Turn, None] | None = None

    def answer(self, turn: Turn, *, begins: bool) -> list[Block]:
        """Return the next blocks, from the script's first where a conversation begins; its end lasts."""
        try:
            if self.running is None or begins:
                self.running = self.script(turn)
                return next(self.running)
            return self.running.send(turn)
        except StopIteration:
            return [say(EXHAUSTED)]


@dataclass
class ScriptedModel:
    """The server's state: lanes, requests in order, and whatever else was asked for."""

    lanes: list[Lane] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    other_paths: set[str] = field(default_factory=set)
    faults: list[BaseException] = field(default_factory=list)
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def play(self, script: Script, *, phrase: str = MAIN) -> None:
        """Let new conversations of a lane follow a script from its beginning."""
        with self._lock:
            kept = [lane for lane in self.lanes if lane.phrase != phrase]
            self.lanes = sorted([*kept, Lane(phrase, script)], key=lambda lane: lane.phrase == MAIN)

    def of_lane(self, phrase: str = MAIN) -> list[Request]:
        """Return the requests of a lane in order."""
        return [request for request in self.requests if request.lane == phrase]

    def answer(self, body: dict[str, Any]) -> list[Block]:
        """Return what the model says to a request, and keep the request; a script's fault ends its turn."""
        if not body.get("tools"):
            return [say("A title")]
        with self._lock:
            system = _text_of(body.get("system"))
            lane = next(lane for lane in self.lanes if lane.phrase in system)
            turn = new_in(body["messages"])
            try:
                begins = all(message["role"] != "assistant" for message in body["messages"])
                blocks = lane.answer(turn, begins=begins)
            except Exception as fault:  # noqa: BLE001 - the test reports it; the client must end its turn
                self.faults.append(fault)
                blocks = [say(f"The script failed: {fault!r}")]
            reply = [_numbered(block, self._numbers) for block in blocks]
            self.requests.append(Request(lane.phrase, without_pictures(body), turn, reply))
            return reply


def _numbered(block: Block, numbers: Iterator[int]) -> Block:
    return {**block, "id": f"toolu_{next(numbers):06}"} if block["type"] == "tool_use" else block


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block.get("text", "") for block in content or [] if isinstance(block, dict))


def new_in(messages: list[dict[str, Any]]) -> Turn:
    """Return what came after the model's last words."""
    last = max((at for at, message in enumerate(messages) if message["role"] == "assistant"), default=-1)
    tools = {
        block["id"]: block["name"]
        for message in messages
        if isinstance(message["content"], list)
        for block in message["content"]
        if block["type"] == "tool_use"
    }
    results, texts = [], []
    for message in messages[last + 1 :]:
        content = message["content"]
        for block in content if isinstance(content, list) else [say(content)]:
            if block["type"] == "tool_result":
                results.append(_result(block, tools.get(block["tool_use_id"], "")))
            elif block["type"] == "text":
                texts.append(block["text"])
    return Turn(tuple(results), "\n".join(texts))


def without_pictures(value: Any) -> Any:
    """Return a body whose pictures have no bytes: a model does not count them as text."""
    if isinstance(value, list):
        return [without_pictures(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "base64":
        return {**value, "data": ""}
    return {name: without_pictures(item) for name, item in value.items()}


def characters(body: Any) -> int:
    """Return the length of a body as JSON, pictures apart."""
    return len(json.dumps(without_pictures(body), ensure_ascii=False))


def _result(block: Block, tool: str) -> Result:
    content = block.get("content")
    parts = content if isinstance(content, list) else []
    images = sum(part.get("type") == "image" for part in parts)
    return Result(tool, _text_of(content), bool(block.get("is_error")), images)


# --- the wire ------------------------------------------------------------------------------------


def _events(body: dict[str, Any], blocks: list[Block], number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the server-sent events of an answer."""
    usage = {"input_tokens": characters(body) // 4, "output_tokens": 1}
    message = {"id": f"msg_{number:06}", "type": "message", "role": "assistant", "model": body.get("model")}
    empty = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield "message_start", {"message": {**message, **empty}}
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            start, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            given = json.dumps(block["input"])
            start, delta = {**block, "input": {}}, {"type": "input_json_delta", "partial_json": given}
        yield "content_block_start", {"index": index, "content_block": start}
        yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    ended = "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"
    words = {"output_tokens": max(1, len(json.dumps(blocks)) // 4)}
    yield "message_delta", {"delta": {"stop_reason": ended, "stop_sequence": None}, "usage": words}
    yield "message_stop", {}


class Handler(BaseHTTPRequestHandler):
    """Speaks as much of the messages API as the client asks for."""

    protocol_version = "HTTP/1.1"
    model: ScriptedModel
    numbers = itertools.count(1)

    def log_message(self, *_: Any) -> None:
        """Say nothing on the terminal."""

    def do_HEAD(self) -> None:
        self._send(b"", "application/json")

    def do_GET(self) -> None:
        self._send(b"{}", "application/json")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        path = self.path.partition("?")[0]
        if path == "/v1/messages/count_tokens":
            self._send_record({"input_tokens": characters(body) // 4})
        elif path == "/v1/messages":
            self._answer(body)
        else:
            self.model.other_paths.add(path)
            self._send_record({})

    def _answer(self, body: dict[str, Any]) -> None:
        blocks = self.model.answer(body)
        events = list(_events(body, blocks, next(self.numbers)))
        if body.get("stream"):
            lines = (
                f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n" for kind, data in events
            )
            self._send("".join(lines).encode(), "text/event-stream")
        else:
            ended = events[-2][1]["delta"]
            self._send_record({**events[0][1]["message"], "content": blocks, **ended})

    def _send_record(self, record: dict[str, Any]) -> None:
        self._send(json.dumps(record).encode(), "application/json")

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a client that was killed go without a word."""


@contextmanager
def serving() -> Iterator[ScriptedModel]:
    """Serve a model without lanes on a free port of this machine until the block ends."""
    model = ScriptedModel()
    handler = type("BoundHandler", (Handler,), {"model": model})
    server = _Server(("127.0.0.1", 0), handler)
    model.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
