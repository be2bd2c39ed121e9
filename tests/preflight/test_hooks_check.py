"""The hooks in a client: a stand-in that says what the real one was seen to say, whole and with faults."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from deft.platforms.base import Check
from deft.preflight import hooks_check
from deft.preflight.hook_files import PAYLOADS, PLUGIN_ROOT

# It talks to the model as a client does, and says of its hooks what FAULT asks for.
STAND_IN = """#!{python}
import json, os, sys, time, urllib.request
FAULT = {fault!r}
words = sys.argv[1:]
root = words[words.index("--plugin-dir") + 1]
if FAULT == "old":
    sys.exit("error: unknown option '--include-hook-events'")
if FAULT == "hangs":
    time.sleep(60)

def event(**fields):
    print(json.dumps(dict(fields, type="system")), flush=True)

def fired(name):
    if FAULT == "silent " + name:
        return
    broken = FAULT == "broken " + name
    code, outcome = (127, "error") if broken else (0, "success")
    event(subtype="hook_response", hook_event=name, exit_code=code, outcome=outcome, stderr="gone" * broken)

def ask(messages):
    body = json.dumps(dict(model="m", tools=[dict(name="Bash")], messages=messages)).encode()
    request = urllib.request.Request(os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", body)
    return json.load(urllib.request.urlopen(request))["content"][0]

fired("SessionStart")
fired("UserPromptSubmit")
init = dict(subtype="init", claude_code_version="9.9", plugins=[dict(path=root)])
if FAULT == "plugin_errors":
    init["plugin_errors"] = [dict(message="Unknown event")]
if FAULT == "not loaded":
    init["plugins"] = []
event(**init)
print("a line that is no event")
messages = [dict(role="user", content="check")]
answers = iter([root, "Exit code 3", "deft gate: refused"])
if FAULT == "open":
    answers = iter([root, "Exit code 3", ""])
if FAULT == "no variable":
    answers = iter(["", "Exit code 3", "deft gate: refused"])
while (block := ask(messages))["type"] == "tool_use":
    fired("PreToolUse")
    number = sum(message["role"] == "assistant" for message in messages)
    if number < 2:
        fired(("PostToolUse", "PostToolUseFailure")[number])
    result = dict(type="tool_result", tool_use_id=block["id"], content=next(answers))
    messages += [dict(role="assistant", content=[block]), dict(role="user", content=[result])]
fired("Stop")
wrong = [n for n in ("ANTHROPIC_AUTH_TOKEN", "CLAUDECODE", "CLAUDE_CONFIG_DIR") if n in os.environ]
wrong += [os.environ["ANTHROPIC_API_KEY"]] * (os.environ["ANTHROPIC_API_KEY"] != "dummy")
wrong += [os.environ["HOME"]] * (os.environ["HOME"] == {home!r} or os.listdir(os.environ["HOME"]) != [])
sys.exit(" ".join(wrong) or 0)
"""


def stand_in(folder: Path, fault: str = "") -> str:
    program = folder / "claude"
    script = STAND_IN.format(python=sys.executable, fault=fault, home=os.environ["HOME"])
    program.write_text(script, encoding="utf-8")
    program.chmod(0o755)
    return str(program)


def failed(program: str | None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Check]:
    """Return what the check of a client finds wrong, the hooks alone left out."""
    monkeypatch.setattr(hooks_check, "file_checks", lambda plugin_root: [])
    return {check.name: check for check in hooks_check.hooks_checks(program) if not check.passed}


def test_a_client_in_which_all_hooks_fire_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDECODE", "CLAUDE_CONFIG_DIR"):
        monkeypatch.setenv(name, "the user's own")
    monkeypatch.setattr(hooks_check, "file_checks", lambda plugin_root: [])
    checks = hooks_check.hooks_checks(stand_in(tmp_path))
    assert [check for check in checks if not check.passed] == []
    assert [check.name for check in checks] == ["client", "plugin", *PAYLOADS, "TAO_SKILL_BANK_PATH", "gate"]
    assert checks[0].detail == "Claude Code 9.9"


@pytest.mark.parametrize("event", PAYLOADS)
def test_an_event_that_does_not_fire_is_named_with_its_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    found = failed(stand_in(tmp_path, f"silent {event}"), monkeypatch)
    assert list(found) == [event]
    assert found[event].detail == "did not fire"
    assert "disableAllHooks" in found[event].cure


@pytest.mark.parametrize("event", PAYLOADS)
def test_a_hook_that_fails_in_the_client_is_named_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    found = failed(stand_in(tmp_path, f"broken {event}"), monkeypatch)
    assert list(found) == [event]
    assert "exit code 127: gone" in found[event].detail
    named = found[event].cure.split("python3 ")[1].split(" <")[0]
    assert Path(named).is_file()


@pytest.mark.parametrize(
    ("fault", "name", "said"),
    [
        ("plugin_errors", "plugin", "Unknown event"),
        ("not loaded", "plugin", "not loaded"),
        ("open", "gate", "a launch was not refused"),
        ("no variable", "TAO_SKILL_BANK_PATH", "does not reach commands"),
        ("old", "client", "exit code 1: error: unknown option"),
    ],
)
def test_what_is_wrong_in_a_client_is_the_only_thing_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, name: str, said: str
) -> None:
    found = failed(stand_in(tmp_path, fault), monkeypatch)
    assert list(found) == [name]
    assert said in found[name].detail
    assert found[name].cure


def test_a_client_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks_check, "SECONDS", 0.5)
    found = failed(stand_in(tmp_path, "hangs"), monkeypatch)
    assert "no end within" in found["client"].detail


@pytest.mark.parametrize("program", [None, "no-such-client"])
def test_without_a_client_the_cure_is_to_install_or_to_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = failed(program, monkeypatch)
    assert list(found) == ["client"]
    assert "--client PATH" in found["client"].cure


def test_a_client_that_cannot_be_started_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "claude"
    program.write_text("#!/no/such/interpreter\n", encoding="utf-8")
    program.chmod(0o755)
    assert str(program) in failed(str(program), monkeypatch)["client"].detail


def test_the_client_on_the_path_is_the_one_that_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert failed(None, monkeypatch) == {}


def test_nothing_is_left_of_a_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    hooks_check.converse(Path(stand_in(tmp_path)), PLUGIN_ROOT)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_stream_that_a_kill_cut_is_read_as_far_as_it_goes() -> None:
    lines = [json.dumps({"subtype": "init"}).encode(), b"[1]", b'{"subtype": "hook']
    assert list(hooks_check._events(b"\n".join(lines))) == [{"subtype": "init"}]
