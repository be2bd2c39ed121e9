"""Trees of a run: read from disk, put back, and compared without their times."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deft import files
from deft.run.log import GENESIS
from deft.run.state import fold
from time_fields import HASH, RESULTS_FOLDER, meaning_of_hashes, without_times

Tree = dict[str, bytes | None]  # relative path -> content; a folder has none
Signature = tuple[int, ...]

LIVING = re.compile(r"^\.runner(/|$)|^\.loop_log\.lock$")  # what describes the process at work
VIEW = "DEFT_Loop_Report.html"  # drawn after the state: a killed runner draws it after the next stage
PROCESS = re.compile(r"\.\d+\.tmp$")
ATTEMPT = re.compile(r'"attempt": ?\d+')
SEQ = re.compile(r'"seq": ?(\d+)')


class Disk:
    """A folder whose content is known; only files that changed are read or written."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self._known: dict[str, tuple[Signature, bytes]] = {}

    def scan(self) -> Tree:
        """Return the tree as it is now."""
        found: Tree = {}
        known: dict[str, tuple[Signature, bytes]] = {}
        for path, entry in self._walk(self.root):
            if entry.is_dir(follow_symlinks=False):
                found[path] = None
                continue
            status = entry.stat(follow_symlinks=False)
            signature = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
            old = self._known.get(path)
            if old is None or old[0] != signature:
                with open(entry.path, "rb") as stream:
                    content = stream.read()
                old = (signature, old[1] if old is not None and old[1] == content else content)
            known[path], found[path] = old, old[1]
        self._known = known
        return found

    def _walk(self, folder: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        if not os.path.isdir(folder):
            return
        with os.scandir(folder) as entries:
            for entry in entries:
                yield entry.path[len(self.root) + 1 :], entry
                if entry.is_dir(follow_symlinks=False):
                    yield from self._walk(entry.path)

    def restore(self, tree: Tree) -> None:
        """Make the folder hold exactly `tree`."""
        os.makedirs(self.root, exist_ok=True)
        now = self.scan()
        for path in sorted(now, reverse=True):
            if path not in tree or (now[path] is None) != (tree[path] is None):
                place = os.path.join(self.root, path)
                (shutil.rmtree if now[path] is None else os.unlink)(place)
        for path, content in sorted(tree.items()):
            place = os.path.join(self.root, path)
            if content is None:
                os.makedirs(place, exist_ok=True)
            elif now.get(path) is not content:
                with open(place, "wb") as stream:
                    stream.write(content)


def same_disk(tree: Tree) -> tuple[Any, ...]:
    """Return what two disks must share for a resume to find the same on both: all but pids in names."""
    return tuple(sorted((PROCESS.sub(".tmp", path), content or b"") for path, content in tree.items()))


# --- comparing ---------------------------------------------------------------------------------


def differences(found: Tree, wanted: Told, *, ended: bool) -> list[str]:
    """Return the names in which two trees of a run differ, apart from their times.

    Lines that tell of a torn line or of a failed attempt are left out, and the numbers of lines and attempts
    that they shift; what they must say is tested by itself.
    """
    left, right = _comparable(found, ended=ended), wanted.comparable(ended=ended)
    names = {name for name in {*left, *right} if left.get(name, 0) is not right.get(name, 0)}
    names = {name for name in names if left.get(name, 0) != right.get(name, 0)}
    if not names:
        return []
    story = Told(found)
    state = [] if story.state_is_folded() else ["deft_state.json is not the fold of the log"]
    return state + sorted(name for name in names if story.plain(name) != wanted.plain(name))


def _comparable(tree: Tree, *, ended: bool) -> dict[str, bytes | None]:
    kept = {}
    for path, content in tree.items():
        if LIVING.search(path) or path.startswith("loop_log.torn.") or path.endswith(".log"):
            continue
        if ended or path != VIEW:
            kept[RESULTS_FOLDER.sub("TIME", path)] = content
    return kept


class Told:
    """A tree of which the times, the recovered lines and the failed attempts are taken out."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._plain: dict[str, object] = {}
        self._comparable: dict[bool, dict[str, bytes | None]] = {}
        self.contents = {path: content for path, content in tree.items() if content is not None}
        self.by_name = {RESULTS_FOLDER.sub("TIME", path): path for path in tree}
        self.folders = {name for name, path in self.by_name.items() if tree[path] is None}
        self.entries = [json.loads(line) for line in self.contents["loop_log.jsonl"].splitlines()]
        self.meaning, self.numbers = self._meanings()

    def _meanings(self) -> tuple[dict[str, str], dict[int, int]]:
        meaning = meaning_of_hashes(self.contents)
        numbers = {0: 0}
        for entry in self.entries:
            told = entry["kind"] != "recovered" and entry["status"] == "ok"
            numbers[entry["seq"]] = numbers[entry["seq"] - 1] + told
            before_all = GENESIS if not numbers[entry["seq"]] else ""
            meaning[entry["sha256"]] = before_all or f"hash of line {numbers[entry['seq']]}"
        return meaning, numbers

    def state_is_folded(self) -> bool:
        """Say whether the state is what the log and the plan make."""
        plan = json.loads(self.contents["plan.json"])
        return self.contents["deft_state.json"].decode() == files.json_text(fold(plan, self.entries))

    def comparable(self, *, ended: bool) -> dict[str, bytes | None]:
        """Return what is compared of the tree."""
        if ended not in self._comparable:
            self._comparable[ended] = _comparable(self.tree, ended=ended)
        return self._comparable[ended]

    def plain(self, name: str) -> object:
        """Return a file as it would be without times, torn lines and failed attempts; None if absent."""
        if name not in self._plain:
            self._plain[name] = self._without_times(name)
        return self._plain[name]

    def _without_times(self, name: str) -> object:
        if name not in self.by_name or name in self.folders:
            return name in self.folders
        content = self.contents[self.by_name[name]]
        if name == "loop_log.jsonl":
            kept = [
                line
                for line, entry in zip(content.splitlines(), self.entries, strict=True)
                if entry["kind"] != "recovered" and entry["status"] == "ok"
            ]
            content = b"\n".join(kept)
        text = without_times(content, self.meaning)
        if name.endswith((".json", ".jsonl")) and b'"' in text:
            plain = ATTEMPT.sub('"attempt": N', text.decode())
            return SEQ.sub(lambda found: f'"seq": {self.numbers.get(int(found[1]), found[1])}', plain)
        return text


__all__ = ["HASH", "Disk", "Tree", "differences", "same_disk"]
