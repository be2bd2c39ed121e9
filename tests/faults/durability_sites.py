"""Every place in the package that syncs, renames or links, found in its syntax; and traces without one.

A trace without a site is the trace of the package with that call taken out: a sync that never happened; a
rename done as an unsynced copy that then removes the original; a link that was never made.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from power_model import Machine, Tree
from syscalls import PACKAGE, Call

SYNCS = {"fsync", "fdatasync", "sync", "sync_folder", "sync_tree", "sync_file", "_sync_folder"}
RENAMES = {"rename", "replace"}
LINKS = {"link", "symlink_to", "symlink", "hardlink_to"}


@dataclass(frozen=True)
class Site:
    """One call in the package: the file below it, its lines, and what it does."""

    file: str
    first: int
    last: int
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.first} {self.name}"

    def led_to(self, call: Call) -> bool:
        """Say whether a recorded call came from here."""
        return any(file == self.file and self.first <= line <= self.last for file, line in call.sites)


def sites(package: Path = Path(PACKAGE)) -> list[Site]:
    """Return every call site of the package that syncs, renames or links."""
    found = []
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                kind, name = _kind(node)
                if kind:
                    place = path.relative_to(package).as_posix()
                    found.append(Site(place, node.lineno, node.end_lineno or node.lineno, kind, name))
    return sorted(found, key=lambda site: (site.file, site.first))


def _kind(node: ast.Call) -> tuple[str, str]:
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    owner = function.value.id if isinstance(function, ast.Attribute) and _is_name(function.value) else ""
    if name in SYNCS and (name != "sync" or owner == "os"):
        return "sync", name
    if name in LINKS:
        return "link", name
    if name in RENAMES and (owner == "os" or (isinstance(function, ast.Attribute) and _moves(node))):
        return "rename", name
    return "", name


def _is_name(node: ast.expr) -> bool:
    return isinstance(node, ast.Name)


def _moves(node: ast.Call) -> bool:
    """Tell `path.rename(target)` from `text.replace(old, new)` and from renaming columns by their names."""
    return len(node.args) == 1 and not node.keywords and not isinstance(node.args[0], ast.Constant)


def without(site: Site, calls: Iterable[Call], machine: Machine) -> Iterator[tuple[Call, bool]]:
    """Yield a trace as it would be without a site, each call with whether a recorded one is complete with it.

    The machine must follow what is yielded.
    """
    for call in calls:
        if not passes(site, call):
            yield call, True
        elif site.kind == "rename":
            for part in _copied(call, machine):
                yield part, False
            yield Call("fsync", call.path, failed=True), True
        else:
            yield Call("fsync", call.path, failed=True), True


def passes(site: Site, call: Call) -> bool:
    """Say whether a call of a trace is one that a site makes."""
    return not call.failed and site.led_to(call) and _is_the_sites(site, call)


def _is_the_sites(site: Site, call: Call) -> bool:
    wanted = {"sync": ("fsync", "sync"), "rename": ("rename",), "link": ("link", "symlink")}
    return call.kind in wanted[site.kind]


def _copied(call: Call, machine: Machine) -> Iterator[Call]:
    """Yield the calls of a copy from the old name to the new one, and of the removal of the old."""
    old = machine.name_of(call.path)
    node = machine.seen.find(old)
    content = machine.seen.contents.get(node) if node is not None else None
    tree: Tree = {"": content} if content is not None else {"": None, **machine.seen.tree(node)}
    for name, data in sorted(tree.items()):
        place = f"{call.target}/{name}".rstrip("/")
        if data is None:
            yield Call("mkdir", place)
            continue
        exists = machine.seen.find(machine.name_of(place)) is not None
        yield Call("truncate" if exists else "create", place)
        yield Call("write", place, data=data)
    for name, data in sorted(tree.items(), reverse=True):
        yield Call("rmdir" if data is None else "unlink", f"{call.path}/{name}".rstrip("/"))
