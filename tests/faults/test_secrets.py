"""Six planted secrets: no file of a run, no command line and no answer holds one, however it is written."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deft import files
from deft.errors import StageFailed
from deft.guard import engagement
from deft.guard.packaging import package
from deft.loop import run_loop
from deft.platforms.embedded import EmbeddedPlatform
from deft.report.facts_record import publish
from deft.report.rca_report import rca_report
from deft.report.render import render_report
from deft.run.audit import audit_run
from deft.workspace.layout import RunFolder, Workspace
from loop_fixtures import SILENT, open_approved_run, use_stub
from stub_platform import StubPlatform
from tiny_workspace import make_workspace
from verb_fixtures import run_in_process

Figure = Callable[[str, str, str], None]
Say = Callable[..., Any]
PLUGIN = Path(__file__).resolve().parents[2]
SESSION = "s-secrets"
# Shaped like credentials, so that a package can know them; none is one.
ENVIRONMENT = {
    "NGC_API_KEY": "nvapi-" + "Zk7w2Xq91PzLm4Vt8Rb3Ns6Hd0Yf5Jc",
    "HF_TOKEN": "hf_" + "kVxQmTzRkLpWnYsGdHfJcKaEuOiPqZlB",
    "REGISTRY_PASSWORD": "p+ss/w0rd=&with?odd#letters",
}
DOTENV = {
    "NGC_KEY": "dotenv-1c9f31c7a25be84d60-planted",
    "BREV_API_TOKEN": "glpat-" + "x7Yq2WvBn5Rt9Lk3Jh6D",
    "STORAGE_SECRET": "Xy9/Qw8+Er7=Ty6/Ui5",
}
SECRETS = {**ENVIRONMENT, **DOTENV}


def spellings(secret: str) -> set[bytes]:
    """Return a secret plain, for an address, in hexadecimal digits, and in base64 at any offset."""
    plain = secret.encode()
    shifted = {base64.b64encode(b"x" * shift + plain)[4:-4] for shift in range(3)}
    quoted = {urllib.parse.quote(secret, safe="").encode(), urllib.parse.quote_plus(secret).encode()}
    digits = {plain.hex().encode(), plain.hex().upper().encode()}
    return {plain, json.dumps(secret)[1:-1].encode(), *shifted, *quoted, *digits}


WANTED = {name: spellings(secret) for name, secret in SECRETS.items()}


def found_in(content: bytes) -> list[str]:
    return [name for name, spelled in WANTED.items() if any(each in content for each in spelled)]


def hits_below(*roots: Path) -> tuple[list[str], int]:
    """Return what was found where, and how many files were looked at; the planted `.env` is left out."""
    hits, looked = [], 0
    for root in roots:
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.is_symlink() and path.name != ".env":
                looked += 1
                hits += [f"{name} in {path.name}" for name in found_in(path.read_bytes())]
    return hits, looked


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    workspace = make_workspace(tmp_path / "workspace")
    for name, secret in ENVIRONMENT.items():
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    lines = "".join(f'{name}="{secret}"\n' for name, secret in DOTENV.items())
    (workspace.root / ".env").write_text(lines, encoding="utf-8")
    return workspace


@contextmanager
def started_children(monkeypatch: pytest.MonkeyPatch, seen: list[bytes]) -> Iterator[None]:
    """Remember the command line of every child that this process starts, as /proc shows it."""
    start = subprocess.Popen.__init__

    def remember(self: Any, *words: Any, **named: Any) -> None:
        start(self, *words, **named)
        seen.append(repr(words[0] if words else named["args"]).encode())
        try:
            seen.append(Path(f"/proc/{self.pid}/cmdline").read_bytes())
        except OSError:
            return

    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", remember)
        yield


def transcript(folder: Path) -> Path:
    """Write a conversation that repeats every secret, plain and encoded."""
    said = [{"message": {"id": name, "content": f"{name}={secret}"}} for name, secret in SECRETS.items()]
    said += [
        {"message": {"content": base64.b64encode(f"x{secret}".encode()).decode()}}
        for secret in SECRETS.values()
    ]
    said += [{"message": {"content": urllib.parse.quote(secret, safe="")}} for secret in SECRETS.values()]
    return files.write_text(folder / "talk.jsonl", "".join(json.dumps(line) + "\n" for line in said))


def packaged(run: RunFolder, folder: Path) -> bytes:
    (analysis,) = (run.root / "baseline/rca_results").iterdir()
    publish(analysis, rca_report(analysis))
    engagement.engage(SESSION, "test")
    talk = transcript(folder)
    package(str(analysis / "RCA_Report.md"), str(PLUGIN), str(talk), dict(os.environ), SESSION)
    talk.unlink()
    return (analysis / "claude_session.jsonl").read_bytes()


def test_the_search_finds_each_spelling_of_each_secret() -> None:
    for name, secret in SECRETS.items():
        coded = base64.b64encode(b"ab" + secret.encode() + b"zz")
        for content in (secret.encode(), coded, secret.encode().hex().encode()):
            assert name in found_in(b"before " + content + b" after")


def test_a_whole_loop_its_reports_and_its_package_hold_no_secret(
    planted: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say, figure: Figure
) -> None:
    use_stub(monkeypatch)
    seen: list[bytes] = []
    with started_children(monkeypatch, seen):
        said = [say("preflight", planted.root), say("doctor", "--workspace", planted.root)]
        run = open_approved_run(planted, max_iterations=1)
        run_loop(run, SILENT)
        render_report(run)
        said += [say(*words, run.root) for words in (("status",), ("report", "summary"), ("audit",))]
    kept = packaged(run, tmp_path)
    assert b"[redacted]" in kept
    hits, looked = hits_below(planted.root, tmp_path / "state")
    printed = [found_in(f"{answer.out}{answer.err}".encode()) for answer in said]
    figure(
        "six secrets in a loop, its reports, package, state folder, answers and command lines",
        "0 hits",
        f"{len(hits)} hits in {looked} files, {sum(map(len, printed))} in {len(said)} answers, "
        f"{len([line for line in seen if found_in(line)])} in {len(seen)} command lines",
    )
    assert hits == []
    assert looked > 100
    assert printed == [[] for _ in said]
    assert [line for line in seen if found_in(line)] == []


def test_a_tool_that_prints_a_credential_as_it_fails_puts_it_into_no_record(
    planted: Workspace, monkeypatch: pytest.MonkeyPatch, say: Say, figure: Figure
) -> None:
    """The words of a failing container went into log, last word and answers as they were."""
    words = iter(SECRETS.items())

    def fail(call: Any) -> None:
        name, secret = next(words)
        coded = base64.b64encode(f"user:{secret}".encode()).decode()
        raise StageFailed(f"registry refused {name}={secret}", value=f"Basic {coded}", hint="look at the key")

    use_stub(monkeypatch, StubPlatform(before=fail))
    run = open_approved_run(planted, max_iterations=1)
    run_in_process(monkeypatch)
    monkeypatch.chdir(planted.root)
    hits: list[str] = []
    for name in SECRETS:
        for said in (say("run", run.root, "--wait", 0), say("status", run.root), say("next", run.root)):
            hits += [f"{found} printed" for found in found_in(f"{said.out}{said.err}".encode())]
        assert name in files.read_json(run.runner / "outcome.json")["error"]["fact"]
    render_report(run)
    below, looked = hits_below(planted.root)
    hits += below
    figure(
        "secrets in the words of a failing tool", "0 hits", f"{len(hits)} hits in {looked} files and answers"
    )
    assert hits == []


def test_an_error_that_names_a_credential_is_told_without_it(
    planted: Workspace, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(planted.root)
    for secret in SECRETS.values():
        said = say("preflight", planted.root, "--target", f"FAR < {secret}")
        assert said.code == 2
        assert found_in(said.err.encode()) == []
        assert found_in(json.dumps(said.record["error"]["value"]).encode()) == []


def test_the_real_engine_s_processes_and_files_hold_no_secret(
    planted: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """One training and scoring on the real engine: its children inherit the environment and print nothing."""
    spec = files.read_yaml(planted.baseline_spec)
    spec["dataset"]["classify"].update(image_width=32, image_height=32)
    spec["train"].update(num_epochs=1, embedded={"threads": 1, "steps_per_epoch": 1})
    files.write_yaml(planted.baseline_spec, spec)
    seen: list[bytes] = []
    with started_children(monkeypatch, seen):
        monkeypatch.setattr(EmbeddedPlatform, "probe_precision", lambda self: None)
        run = open_approved_run(planted, max_iterations=1, num_epochs=1)
        run_loop(run, SILENT)
        assert audit_run(run)["status"] == "agrees"
    hits, looked = hits_below(planted.root, tmp_path / "state")
    lines = [line for line in seen if found_in(line)]
    figure(
        "six secrets in a loop on the real engine",
        "0 hits",
        f"{len(hits)} hits in {looked} files, {len(lines)} in {len(seen)} command lines",
    )
    assert (hits, lines) == ([], [])
    assert len(seen) >= 8
