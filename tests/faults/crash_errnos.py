"""A walk that lets the kernel refuse every call: what the user is told, what is kept, and how it goes on."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from crash_trees import Tree, same_disk
from crash_walks import Reached, Walker, in_child
from syscalls import Call

from deft import runner
from deft.errors import DeftError, storage_fault
from deft.run.log import LoopLog, read

ERRNOS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)
STAYS = (errno.ENOSPC, errno.EROFS)  # a full disk stays full; a quota and a bad block strike once here
NEEDS_ROOM = ("create", "write", "mkdir", "link", "symlink")
Part = Callable[[bytes], object] | None


@dataclass
class Answer:
    """What a broken run told: its outcome, or the error that its caller met, and what it printed."""

    outcome: dict[str, Any] | None = None
    error: tuple[str, int, str, str, str] | None = None
    text: str = ""
    after: list[tuple[str, str]] = field(default_factory=list)


class Errnos(Walker):
    """ENOSPC, EIO, EROFS and EDQUOT at every call."""

    def __init__(self, *arguments: Any, errnos: tuple[int, ...] = ERRNOS, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.errnos = errnos
        self.acknowledged: list[str] = []
        self.broken: tuple[int, Call] | None = None
        self.after: list[tuple[str, str]] = []
        self.sending: int | None = None

    # --- the walk ----------------------------------------------------------------------------------

    def _work(self) -> None:
        self._remember_acknowledged()
        self.acknowledged = [entry["sha256"] for entry in read(self.reference.run.log)]
        told = Answer()
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            try:
                told.outcome = runner.work(self.reference.run, until_judgement=False)
            except Reached:
                told.outcome = {"status": "unharmed"}
            except BaseException as error:
                if self.broken is None:
                    raise
                told.error = _told(error)
            if self.broken is not None:
                self._join(told)
        if self.broken is not None:
            told.text, told.after = errors.getvalue(), self.after
            _end(self.sending, (told, self.acknowledged))

    def _join(self, told: Answer) -> None:
        """Ask as `deft run` does when the runner has ended, with the disk as it still is."""
        if told.outcome is None or told.outcome["status"] == "unharmed":
            return
        try:
            told.outcome = runner.join_runner(self.reference.run, wait_seconds=0)
        except BaseException as error:  # noqa: BLE001 - what `deft run` would meet
            told.error = _told(error)

    def _remember_acknowledged(self) -> None:
        append = LoopLog.append

        def appended(log: LoopLog, entry: dict[str, Any]) -> dict[str, Any]:
            sealed = append(log, entry)
            self.acknowledged.append(sealed["sha256"])
            return sealed

        LoopLog.append = appended  # type: ignore[method-assign]

    def _before(self, number: int, call: Call, part: Part) -> None:
        if self.broken is None:
            super()._before(number, call, part)
            return
        self.after.append((call.kind, call.path))
        code, _ = self.broken
        if code == errno.ENOSPC and self.started and _needs_room(call):
            raise OSError(code, os.strerror(code), call.path)
        if code == errno.EROFS and self.started:
            raise OSError(code, os.strerror(code), call.path)

    def visit(self, call: Call, part: Part) -> None:
        before = self.disk.scan()
        for code in self.errnos:
            self._try(call, code, f"{self.here(call)}, {errno.errorcode[code]}", before)

    def _try(self, call: Call, code: int, what: str, before: Tree) -> None:
        from crash_walks import descriptors_kept

        with descriptors_kept(str(self.reference.run.root)):
            self.findings.points += 1
            ended, answer = self._in_child(call, code)
            after = self.disk.scan()
            if ended or answer is None:
                self.findings.faults.append(f"{what}: broke off: {answer}")
            else:
                told, acknowledged = answer
                self._judge(what, call, code, told, acknowledged)
            self.resume(what, _without_stories(after))
            self.disk.restore(before)

    def _in_child(self, call: Call, code: int) -> tuple[int, Any]:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self.broken, self.sending, self.started = (code, call), writing, True
            raise OSError(code, os.strerror(code), call.path if call.kind not in ("write", "fsync") else None)
        os.close(writing)
        import pickle

        with open(reading, "rb") as stream:
            content = stream.read()
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), pickle.loads(content) if content else None  # noqa: S301

    # --- what must hold ----------------------------------------------------------------------------

    def _judge(self, what: str, call: Call, code: int, told: Answer, acknowledged: list[str]) -> None:
        name = errno.errorcode[code]
        self.findings.told[name] = self.findings.told.get(name, 0) + 1
        faults = self.findings.faults
        if "Traceback" in told.text:
            faults.append(f"{what}: a traceback was printed: {told.text[-400:]}")
        kept = [entry["sha256"] for entry in read(self.reference.run.log)]
        if kept[: len(acknowledged)] != acknowledged:
            faults.append(f"{what}: {len(acknowledged)} lines were acknowledged, {len(kept)} are kept")
        sites = self.reference.calls[self.number - 1].sites
        in_a_tool = any(file.startswith("tools/") for file, _ in sites)
        fault = _what_is_wrong(told, (1, 5) if in_a_tool else (5,))
        if fault:
            faults.append(f"{what}: {fault}")
        if code == errno.EIO and call.kind == "fsync":
            status = "failed" if told.error is not None else (told.outcome or {}).get("status")
            after_the_end = ".outcome.json." in call.path or call.path.endswith("/.runner")
            if status != "failed" and not (after_the_end and status == "complete"):
                faults.append(f"{what}: the run went on: {told.outcome}")
            if _synced_again(told.after, call.path):
                faults.append(f"{what}: the same file was synced again")


def _needs_room(call: Call) -> bool:
    return call.kind in NEEDS_ROOM


def _synced_again(after: list[tuple[str, str]], path: str) -> bool:
    """Say whether a file whose fsync failed is synced again without having been written anew."""
    for kind, name in after:
        if name == path and kind in ("create", "truncate", "unlink", "write"):
            return False
        if name == path and kind == "fsync":
            return not os.path.isdir(path)
    return False


def _told(error: BaseException) -> tuple[str, int, str, str, str]:
    known = storage_fault(error) if isinstance(error, OSError) else error
    if isinstance(known, DeftError):
        return type(known).__name__, known.exit_code, known.fact, str(known.value or ""), known.hint
    return type(error).__name__, -1, str(error), "", ""


def _what_is_wrong(told: Answer, codes: tuple[int, ...]) -> str:
    """Return what is wrong with what the user is told, or nothing; a tool that failed is told with 1."""
    if told.error is not None:
        _, code, *parts = told.error
        return "" if code in codes and all(parts) else f"told {told.error}"
    outcome = told.outcome or {}
    if outcome.get("status") in ("unharmed", "complete"):
        return ""
    if outcome.get("status") != "failed" or outcome.get("exit_code") not in codes:
        return f"answered {outcome}"
    return "" if all(outcome["error"].values()) else f"answered {outcome}"


def _without_stories(tree: Tree) -> object:
    """Return what two disks share after the same failure, told with another errno."""
    kept = {
        path: content
        for path, content in tree.items()
        if not path.startswith(".runner") and path not in ("deft_state.json", "loop_log.jsonl")
    }
    lines = (tree.get("loop_log.jsonl") or b"").splitlines()
    told = []
    for line in lines:
        try:
            entry = json.loads(line)
            told.append((entry["iter"], entry["stage"], entry["status"], entry["attempt"]))
        except ValueError:
            told.append(("torn", len(line)))  # type: ignore[arg-type]
    state = tree.get("deft_state.json") or b"{}"
    return same_disk(kept), tuple(told), json.loads(state).get("log", {}).get("seq")


def _end(writing: int | None, result: object) -> None:
    import pickle

    assert writing is not None
    with open(writing, "wb") as stream:
        stream.write(pickle.dumps(result))
    os._exit(0)


__all__ = ["Errnos", "in_child"]
