"""A docker command for tests without a daemon: it remembers its words and answers as told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """#!/bin/sh
folder={folder}
for word in "$@"; do printf '%s\\n' "$word"; done >> "$folder/words"
echo -- >> "$folder/words"
number=$(( $(cat "$folder/$1.count" 2>/dev/null || echo 0) + 1 ))
echo $number > "$folder/$1.count"
for answer in "$folder/$1.$number" "$folder/$1"; do
  if [ -e "$answer.out" ] || [ -e "$answer.err" ]; then
    cat "$answer.out" 2>/dev/null
    cat "$answer.err" >&2 2>/dev/null
    [ ! -e "$answer.err" ]
    exit
  fi
done
"""


class ScriptedDocker:
    """Answers `docker VERB …`: the answer given for the n-th call of a verb, else the one for all calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        program = folder / "docker"
        program.write_text(PROGRAM.replace("{folder}", f"'{folder}'"))
        program.chmod(0o755)

    def says(self, verb: str, text: str = "", *, number: int | None = None, error: str = "") -> None:
        """Let a verb answer with a text, or fail with an error."""
        name = verb if number is None else f"{verb}.{number}"
        (self.folder / f"{name}.{'err' if error else 'out'}").write_text(error or text)

    def stands(self, status: str, code: int = 0, *, number: int | None = None, **more: Any) -> None:
        """Let `docker container inspect` show a container in this state."""
        state = {"Status": status, "ExitCode": code, "OOMKilled": more.pop("out_of_memory", False)}
        record = {"Id": f"c0ffee{number}", "State": state, "Config": {"Labels": more.pop("labels", {})}}
        self.says("container", json.dumps(record), number=number)

    @property
    def calls(self) -> list[list[str]]:
        """Return the words of every call."""
        path = self.folder / "words"
        text = path.read_text() if path.is_file() else ""
        return [part.splitlines() for part in text.split("--\n") if part]

    def verbs(self) -> list[str]:
        """Return the verb of every call."""
        return [words[0] for words in self.calls]


@pytest.fixture
def scripted_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedDocker:
    docker = ScriptedDocker(tmp_path / "scripted docker")
    monkeypatch.setenv("PATH", f"{docker.folder}:/usr/bin:/bin")
    return docker
