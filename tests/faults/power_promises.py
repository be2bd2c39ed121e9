"""What must hold on every disk that a power loss may leave, whenever it strikes.

* A file under its own name (no temporary, no attempt) is whole: one of the contents it was ever given.
* What a call acknowledged by returning (a record written, a line appended, a folder published) is there.
* The log reads, and holds every acknowledged line; a line's evidence is there with its hash; a stage's
  folder holds what its manifest names and nothing else; the state, if there, tells of a line of the log.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from power_model import Machine, Nodes, Tree
from syscalls import Call, Shim

from deft import files
from deft.errors import DeftError
from deft.guard import approval
from deft.run.log import LoopLog, scan
from deft.run.manifests import MANIFEST
from deft.stages.anomalygen import Anomalygen

UNNAMED = re.compile(r"(^|/)\.[^/]*\.tmp$|\.attempt(-\d+)?(/|$)|\.building(/|$)|(^|/)\.synth_pool\.old(/|$)")
IN_PLACE = re.compile(r"(^|/)(loop_log\.jsonl|output\.log|[^/]*\.log|lock|\.loop_log\.lock)$")
SETTLING = 20  # calls between two looks at what is settled
LATER_IN_A_STAGE = ("verdicts.json",)


@dataclass
class Acknowledged:
    """What calls acknowledged, each with the number of system calls at that moment."""

    written: list[tuple[int, str, str]] = field(default_factory=list)
    lines: list[tuple[int, str, str]] = field(default_factory=list)
    published: list[tuple[int, str]] = field(default_factory=list)


@contextlib.contextmanager
def acknowledging(shim: Shim) -> Iterator[Acknowledged]:
    """Remember what the writing functions of the package acknowledge while the block runs."""
    found = Acknowledged()
    kept: list[tuple[Any, str, Any]] = []

    def after(owner: Any, name: str, told: Callable[..., None]) -> None:
        function = getattr(owner, name)

        def acknowledged(*arguments: Any, **options: Any) -> Any:
            result = function(*arguments, **options)
            told(*arguments, result=result)
            return result

        kept.append((owner, name, function))
        setattr(owner, name, acknowledged)

    def wrote(path: Any, *more: Any, result: Any) -> None:
        place = str(path)
        found.written.append((shim.count, place, _sha(Path(place).read_bytes())))

    def publish(folder: Path) -> None:
        found.published.append((shim.count, str(folder)))

    def appended(log: LoopLog, entry: Any, *, result: Any) -> None:
        found.lines.append((shim.count, str(log.path), result["sha256"]))

    after(files, "write_bytes", wrote)
    after(approval, "write_record", wrote)
    after(approval, "_make_key", wrote)
    after(LoopLog, "append", appended)
    after(Anomalygen, "_build", lambda stage, context, *_, result: publish(context.run.synth_pool.root))
    try:
        yield found
    finally:
        for owner, name, function in kept:
            setattr(owner, name, function)


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class View:
    """A disk: its outline, where its closed folders are, and what is in those."""

    tree: Tree
    shut: dict[str, int]
    inside: dict[int, Tree]

    def closing(self, path: str) -> str:
        """Return the closed folder that a path is in, or nothing."""
        while path and path not in self.shut:
            path = path.rpartition("/")[0]
        return path

    def get(self, path: str) -> bytes | None:
        """Return the bytes of a file, or None where there is no file."""
        if path in self.tree:
            return self.tree[path]
        closed = self.closing(path)
        return self.inside[self.shut[closed]].get(path[len(closed) + 1 :]) if closed else None

    def files_below(self, folder: str) -> Iterator[str]:
        """Yield the files below a folder that are no temporaries, relative to it."""
        for path in self._files():
            if path.startswith(folder + "/") and not UNNAMED.search(path[len(folder) + 1 :]):
                yield path[len(folder) + 1 :]

    def below(self, folder: str) -> Tree:
        """Return everything below a folder, relative to it, whether closed or not."""
        closed = self.closing(folder)
        if closed:
            inner = folder[len(closed) + 1 :]
            prefix = f"{inner}/" if inner else ""
            told = self.inside[self.shut[closed]].items()
            return {path[len(prefix) :]: content for path, content in told if path.startswith(prefix)}
        found = {
            path[len(folder) + 1 :]: content
            for path, content in self.tree.items()
            if path.startswith(f"{folder}/")
        }
        for place, node in self.shut.items():
            if place.startswith(f"{folder}/"):
                start = place[len(folder) + 1 :]
                found.update({f"{start}/{name}": told for name, told in self.inside[node].items()})
        return found

    def _files(self) -> Iterator[str]:
        yield from (path for path, content in self.tree.items() if content is not None)
        for place, node in self.shut.items():
            yield from (f"{place}/{name}" for name, told in self.inside[node].items() if told is not None)


@dataclass
class Checker:
    """Judges disks of one trace; `scratch` is a file that logs are read from."""

    root: str
    calls: list[Call]
    acknowledged: Acknowledged
    scratch: Path
    present: Tree = field(default_factory=dict)
    machine: Machine = field(init=False)
    position: int = 0
    promised: int = 0
    _shas: dict[bytes, str] = field(default_factory=dict)
    _logs: dict[bytes, Any] = field(default_factory=dict)
    _manifests: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    _judged: set[object] = field(default_factory=set)
    inside: dict[int, Tree] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.machine = Machine(self.root, present=self.present)
        self.versions = self._all_versions()
        self.machine = Machine(self.root, present=self.present)
        told = self.acknowledged.published
        self.trees = {(moment, path): self._tree_at(moment, path) for moment, path in told}
        self._written = list(self.acknowledged.written)
        self._lines = list(self.acknowledged.lines)
        self.owed: dict[str, int] = {}
        self.owed_lines: dict[str, list[str]] = {}
        self.owed_folders: dict[str, Tree] = {}

    def _all_versions(self) -> dict[str, list[str]]:
        """Return, for each name, the hashes of the contents that a rename or link gave it, in order."""
        found: dict[str, list[str]] = {}
        for path, content in self.present.items():
            if content is not None:
                found[path] = [self.sha(content)]
        for call in self.calls:
            self.machine.do(call)
            if call.kind in ("rename", "link") and not call.failed:
                name = self.machine.name_of(call.target)
                node = self.machine.seen.find(name)
                if node in self.machine.seen.contents:
                    found.setdefault(name, []).append(self.sha(self.machine.seen.contents[node]))
        return found

    def _tree_at(self, moment: int, path: str) -> Tree:
        machine = Machine(self.root, present=self.present)
        for call in self.calls[:moment]:
            machine.do(call)
        return machine.seen.tree(machine.seen.find(machine.name_of(path)))

    def sha(self, content: bytes) -> str:
        """Return a hash, each content hashed once."""
        found = self._shas.get(content)
        if found is None:
            found = self._shas[content] = _sha(content)
        return found

    # --- going through the trace -------------------------------------------------------------------

    def step(self, call: Call, complete: bool = True) -> None:
        """Let the next call have returned, and what was acknowledged with it be owed."""
        self.machine.do(call)
        if call.kind in ("unlink", "rename", "rmdir") and not call.failed:
            self._forget(self.machine.name_of(call.path))
        if complete:
            self.position += 1
            self._owe()

    def _owe(self) -> None:
        before = len(self._written), len(self._lines), len(self.owed_folders)
        while self._written and self._written[0][0] <= self.position:
            _, path, digest = self._written.pop(0)
            name = self.machine.name_of(path)
            if not UNNAMED.search(name):
                known = self.versions.get(name, [])
                last = max((number for number, one in enumerate(known) if one == digest), default=len(known))
                self.owed[name] = last
        while self._lines and self._lines[0][0] <= self.position:
            _, path, digest = self._lines.pop(0)
            self.owed_lines.setdefault(self.machine.name_of(path), []).append(digest)
        for moment, path in self.acknowledged.published:
            if moment == self.position:
                self.owed_folders[self.machine.name_of(path)] = self.trees[moment, path]
        if before != (len(self._written), len(self._lines), len(self.owed_folders)):
            self.promised += 1

    def _forget(self, name: str) -> None:
        for owed in [path for path in self.owed if path == name or path.startswith(name + "/")]:
            del self.owed[owed]
        for folder in [path for path in self.owed_folders if path == name]:
            del self.owed_folders[folder]

    # --- judging a disk ----------------------------------------------------------------------------

    def settle(self) -> None:
        """Close what is settled, after judging it once as part of what programs see."""
        self.machine.settle()
        self.inside = {node: self.machine.seen.tree(node) for node in self.machine.settled}

    def faults(self, disk: Nodes) -> Iterator[str]:
        """Yield what is wrong with a disk at this moment of the trace."""
        view = View(*disk.outline(self.machine.settled), self.inside)
        yield from self._whole(view.tree)
        for name, version in self.owed.items():
            content = view.get(name)
            if content is None:
                yield f"{name} was acknowledged and is gone"
            elif self.sha(content) not in self.versions.get(name, [])[version:]:
                yield f"{name} was acknowledged and is not what was written, or older"
        for folder, wanted in self.owed_folders.items():
            if view.below(folder) != wanted:
                yield f"{folder} was published and is not whole"
        for name in {*self.owed_lines, *(path for path in view.tree if path.endswith("/loop_log.jsonl"))}:
            yield from self._log(view, name)

    def _whole(self, tree: Tree) -> Iterator[str]:
        for name, content in tree.items():
            if content is None or UNNAMED.search(name) or IN_PLACE.search(name):
                continue
            versions = self.versions.get(name)
            if versions is not None and self.sha(content) not in versions:
                yield f"{name} is not whole"

    def _log(self, view: View, name: str) -> Iterator[str]:
        content = view.get(name)
        if content is None:
            if name in self.owed_lines:
                yield f"{name} is gone"
            return
        entries = self._read(content)
        if isinstance(entries, str):
            yield f"{name}: {entries}"
            return
        owed = self.owed_lines.get(name, [])
        if [entry["sha256"] for entry in entries if entry["sha256"] in owed] != owed:
            yield f"{name} lost an acknowledged line"
        run = name.rpartition("/")[0]
        if entries and view.get(f"{run}/plan.json") is None:
            yield f"{run} has a line and no plan"
        for entry in entries:
            yield from self._evidence(view, run, entry)
        yield from self._state(view, run, entries)

    def _read(self, content: bytes) -> Any:
        if content not in self._logs:
            self.scratch.write_bytes(content)
            try:
                self._logs[content] = scan(self.scratch).entries
            except DeftError as error:
                self._logs[content] = f"does not read: {error.fact}"
        return self._logs[content]

    def _evidence(self, view: View, run: str, entry: dict[str, Any]) -> Iterator[str]:
        for item in entry["evidence"]:
            path = f"{run}/{item['path']}"
            closed = view.closing(path)
            known = (closed and self.machine.settled[view.shut[closed]], path, entry["sha256"])
            if closed and known in self._judged:
                continue
            told = list(self._item(view, path, item, entry["seq"]))
            yield from told
            if closed and not told:
                self._judged.add(known)

    def _item(self, view: View, path: str, item: dict[str, Any], seq: int) -> Iterator[str]:
        content = view.get(path)
        if content is None:
            yield f"evidence {path} of line {seq} is gone"
        elif self.sha(content) != item["sha256"]:
            yield f"evidence {path} of line {seq} is another"
        elif path.endswith(f"/{MANIFEST}"):
            yield from self._stage(view, path[: -len(MANIFEST) - 1], content)

    def _stage(self, view: View, folder: str, content: bytes) -> Iterator[str]:
        manifest = self._manifests.get(content)
        if manifest is None:
            manifest = {item["path"]: item["sha256"] for item in json.loads(content)["files"]}
            self._manifests[content] = manifest
        for path, digest in manifest.items():
            found = view.get(f"{folder}/{path}")
            if found is None:
                yield f"{folder}/{path} is gone"
            elif self.sha(found) != digest:
                yield f"{folder}/{path} is not what the manifest says"
        for path in view.files_below(folder):
            if (
                path not in manifest
                and path not in (MANIFEST, *LATER_IN_A_STAGE)
                and not path.endswith(".log")
            ):
                yield f"{folder}/{path} is in no manifest"

    def _state(self, view: View, run: str, entries: list[dict[str, Any]]) -> Iterator[str]:
        content = view.get(f"{run}/deft_state.json")
        if content is None:
            return
        try:
            told = json.loads(content)["log"]
        except ValueError:
            yield f"{run}/deft_state.json does not parse"
            return
        if told["seq"] > len(entries) or (
            told["seq"] and entries[told["seq"] - 1]["sha256"] != told["sha256"]
        ):
            yield f"{run}/deft_state.json tells of a line that the log has not"


@dataclass
class Enumeration:
    """How many distinct disks were judged, which were wrong, and some to resume from."""

    states: int = 0
    violations: list[str] = field(default_factory=list)
    kept: list[tuple[int, Tree]] = field(default_factory=list)


def each(calls: Iterable[Call]) -> Iterator[tuple[Call, bool]]:
    """Yield each call of a trace as it was recorded."""
    for call in calls:
        yield call, True


def enumerate_disks(
    checker: Checker, trace: Iterable[tuple[Call, bool]], *, first_only: bool = False, keep_every: int = 0
) -> Enumeration:
    """Judge every disk that a power loss after each call of a trace may leave.

    Each element is a call and whether a recorded call is complete with it. A disk that was met before is
    judged again only where more is owed since.
    """
    judge = _Judge(checker, Enumeration(), keep_every)
    for call, complete in trace:
        judge.follow(call, complete)
        if first_only and judge.found.violations:
            break
    return judge.found


@dataclass
class _Judge:
    checker: Checker
    found: Enumeration
    keep_every: int
    trees: set[int] = field(default_factory=set)
    judged: set[tuple[int, int]] = field(default_factory=set)
    met: set[object] = field(default_factory=set)
    followed: int = 0

    def follow(self, call: Call, complete: bool) -> None:
        """Let one call have returned, and judge what a power loss may leave now."""
        promised = self.checker.promised
        self.checker.step(call, complete)
        self.followed += 1
        if promised != self.checker.promised:
            self.met.clear()
        if self.followed % SETTLING == 0:
            self.checker.settle()
        for key, steps in self.checker.machine.disks():
            if key not in self.met:
                self.met.add(key)
                self._judge(self.checker.machine.disk(steps), call)

    def _judge(self, disk: Nodes, call: Call) -> None:
        digest = disk.digest(0, self.checker.machine.settled)
        if digest not in self.trees:
            self.trees.add(digest)
            self.found.states += 1
            if self.keep_every and self.found.states % self.keep_every == 0:
                self.found.kept.append((self.checker.position, disk.tree()))
        if (digest, self.checker.promised) not in self.judged:
            self.judged.add((digest, self.checker.promised))
            moment = f"after call {self.checker.position - 1} ({call.kind} {call.path[-70:]})"
            self.found.violations.extend(f"{moment}: {fault}" for fault in self.checker.faults(disk))
