"""The model on loopback: it calls its commands in order, hears their answers, and is gone afterwards."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from deft.preflight.scripted_server import LAST_WORDS, ScriptedModel, serving

TOOLS = [{"name": "Bash"}]
ASKED = {"role": "user", "content": "check"}


def called(number: int) -> dict[str, Any]:
    block = {"type": "tool_use", "id": f"toolu_{number:06}", "name": "Bash", "input": {}}
    return {"role": "assistant", "content": [block]}


def answered(number: int, content: object) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": f"toolu_{number:06}", "content": content}
    return {"role": "user", "content": [block]}


def post(url: str, body: dict[str, Any], path: str = "/v1/messages?beta=true") -> str:
    request = urllib.request.Request(url + path, json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def test_commands_are_called_one_after_the_other_and_then_the_turn_ends() -> None:
    model = ScriptedModel(["one", "two"])
    talk = [ASKED]
    assert model.answer({"tools": TOOLS, "messages": talk})["input"]["command"] == "one"
    talk += [called(0), answered(0, "first")]
    assert model.answer({"tools": TOOLS, "messages": talk})["input"]["command"] == "two"
    talk += [called(1), answered(1, [{"type": "text", "text": "second"}])]
    assert model.answer({"tools": TOOLS, "messages": talk}) == {"type": "text", "text": LAST_WORDS}
    assert model.results == {0: "first", 1: "second"}


def test_a_request_without_tools_calls_nothing() -> None:
    assert ScriptedModel(["one"]).answer({"messages": [ASKED]})["type"] == "text"


def test_an_answer_is_streamed_as_the_client_reads_it_or_sent_as_one_record() -> None:
    body = {"model": "m", "tools": TOOLS, "messages": [ASKED]}
    with serving(["echo é"]) as model:
        lines = post(model.url, {**body, "stream": True}).splitlines()
        record = json.loads(post(model.url, body))
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert json.loads(events[2]["delta"]["partial_json"])["command"] == "echo é"
    assert events[4]["delta"]["stop_reason"] == record["stop_reason"] == "tool_use"
    assert record["content"][0]["input"]["command"] == "echo é"


def test_two_answers_never_share_an_id() -> None:
    body = {"tools": TOOLS, "messages": [ASKED]}
    with serving(["one"]) as model:
        first, second = (json.loads(post(model.url, body))["id"] for _ in range(2))
    assert first != second


def test_whatever_else_a_client_asks_for_is_answered() -> None:
    with serving([]) as model:
        assert "input_tokens" in json.loads(post(model.url, {}, "/v1/messages/count_tokens"))
        for method in ("GET", "HEAD"):
            request = urllib.request.Request(model.url + "/anything", method=method)
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.status == 200


def test_it_listens_on_loopback_and_only_while_its_block_runs() -> None:
    with serving([]) as model:
        assert model.url.startswith("http://127.0.0.1:")
    with pytest.raises(urllib.error.URLError):
        post(model.url, {})


def test_a_body_that_is_no_record_ends_only_its_own_request(capfd: pytest.CaptureFixture[str]) -> None:
    with serving([]) as model:
        request = urllib.request.Request(model.url + "/v1/messages", b"{", method="POST")
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            urllib.request.urlopen(request, timeout=10)
        assert "message" in post(model.url, {"messages": []})
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("path", ["/v1/messages", "/", "/0123456789abcdef0123456789abcdef/v1/messages"])
def test_who_does_not_know_the_token_is_refused(path: str) -> None:
    with serving([]) as model:
        outside = model.url.rpartition("/")[0] + path
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(urllib.request.Request(outside, b"{}", method="POST"), timeout=10)
