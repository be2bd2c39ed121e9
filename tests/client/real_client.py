"""The real client in a home of its own, with a clean environment, a dummy key and a model on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = "claude-sonnet-5"  # named, because the default model has a window that hides the listing's budget
TOOLS = "Bash,Write,Edit,Read,Skill,Agent"
SECONDS = 400


@dataclass(frozen=True)
class Conversation:
    """What one call of the client left behind: its exit code and its stream of events."""

    code: int
    events: tuple[dict[str, Any], ...]

    @property
    def start(self) -> dict[str, Any]:
        """The event that lists what the client loaded."""
        return next(event for event in self.events if event.get("subtype") == "init")

    @property
    def session(self) -> str:
        """The id under which the conversation can be resumed."""
        return str(self.start["session_id"])

    @property
    def words(self) -> str:
        """The model's last words to the user."""
        return str(self.events[-1].get("result", ""))


@dataclass(frozen=True)
class RealClient:
    """How the client is called: its program, its home, the folder it works in, the server of its model."""

    program: Path
    home: Path
    folder: Path
    url: str
    plugin: Path | None = REPOSITORY
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return all that the client and its children see: nothing of the caller but programs to run."""
        interpreters = Path(sys.base_prefix) / "bin"
        return {
            "PATH": f"{interpreters}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "TERM": "xterm",
            "LANG": "C.UTF-8",
            "ANTHROPIC_API_KEY": "dummy",
            "ANTHROPIC_BASE_URL": self.url,
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DEFT_PYTHON": sys.executable,
            **self.variables,
        }

    def command(self, prompt: str, *more: str) -> list[str]:
        """Return the command line of one prompt; the prompt comes first, since later flags take lists."""
        plugin = ["--plugin-dir", str(self.plugin)] if self.plugin else []
        shown = ["--output-format", "stream-json", "--verbose", "--include-hook-events"]
        allowed = ["--setting-sources", "user,project", "--permission-mode", "acceptEdits"]
        fixed = [*plugin, "--model", MODEL, *shown, *allowed, "--allowedTools", TOOLS]
        return [str(self.program), "-p", prompt, *fixed, *more]

    def begin(self, prompt: str, *more: str, stream: Path) -> subprocess.Popen[bytes]:
        """Start the client in a process group of its own; its events go into the file `stream`."""
        with stream.open("wb") as output, stream.with_suffix(".err").open("wb") as errors:
            return subprocess.Popen(
                self.command(prompt, *more),
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )

    def ask(self, prompt: str, *more: str, stream: Path) -> Conversation:
        """Say one thing to the client and return what came of it."""
        process = self.begin(prompt, *more, stream=stream)
        try:
            process.wait(timeout=SECONDS)
        finally:
            kill_group(process)
        return conversation(process.returncode, stream)


def conversation(code: int, stream: Path) -> Conversation:
    """Read the events of a client that has ended; a line cut by a kill is none."""
    lines = [line for line in stream.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
    return Conversation(code, tuple(json.loads(line) for line in lines if line.endswith("}")))


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a client with all its children that did not leave its group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()
