"""What a disk may hold after the power failed: ALICE's model, over a recorded trace, in memory.

A file's bytes are on the disk once it was fsynced; a name, once its folder was. Until then each may be there
or not, independently and in any order; bytes may be there in part, or as zeroes. A rename is one step, and
pending until both of its folders were synced. Nothing else orders anything: that is the weakest disk that
POSIX allows, and weaker than any in use.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace

from syscalls import Call

Tree = dict[str, bytes | None]
ROOT = 0


@dataclass(frozen=True)
class Pending:
    """A step that may or may not be on the disk: new names in folders, or bytes of a file.

    `names` holds (folder, name, what is there then); `write` holds (file, offset, bytes), where no bytes
    mean that the file ends at the offset.
    """

    number: int
    names: tuple[tuple[int, str, int | None], ...] = ()
    write: tuple[int, int, bytes | None] | None = None
    unsynced: frozenset[int] = frozenset()


@dataclass
class Nodes:
    """Folders (names of what they hold) and files (bytes), by number."""

    folders: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    contents: dict[int, bytes] = field(default_factory=dict)

    def apply(self, step: Pending) -> None:
        """Let a step have happened."""
        for folder, name, node in step.names:
            entries = self.folders.setdefault(folder, {})
            if node is None:
                entries.pop(name, None)
            else:
                entries[name] = node
        if step.write is not None:
            node, offset, data = step.write
            self.contents[node] = written(self.contents.get(node, b""), offset, data)

    def find(self, path: str) -> int | None:
        """Return what a path names."""
        node: int | None = ROOT
        for part in path.split("/"):
            node = self.folders.get(node, {}).get(part) if node is not None else None
        return node

    def tree(self, below: int | None = ROOT) -> Tree:
        """Return everything that can be reached, by path."""
        return self.outline((), below)[0]

    def outline(self, closed: Container[int], below: int | None = ROOT) -> tuple[Tree, dict[str, int]]:
        """Return everything that can be reached, except what is in closed folders, and where those are."""
        found: Tree = {}
        shut: dict[str, int] = {}
        waiting = [(below, "")] if below is not None else []
        while waiting:
            folder, prefix = waiting.pop()
            for name, node in self.folders.get(folder, {}).items():
                path = f"{prefix}{name}"
                if node in self.folders:
                    found[path] = None
                    if node in closed:
                        shut[path] = node
                    else:
                        waiting.append((node, f"{path}/"))
                else:
                    found[path] = self.contents.get(node, b"")
        return found, shut

    def digest(self, node: int, known: dict[int, int]) -> int:
        """Return a hash of what a node holds, names and bytes; `known` has those of some folders."""
        if node in known:
            return known[node]
        entries = self.folders.get(node)
        if entries is None:
            return hash(self.contents.get(node, b""))
        return hash(tuple(sorted((name, self.digest(child, known)) for name, child in entries.items())))


def written(content: bytes, offset: int, data: bytes | None) -> bytes:
    """Return a file's bytes after a write at an offset, or after it was cut or stretched to end there."""
    filled = content.ljust(offset, b"\0")
    return filled[:offset] if data is None else filled[:offset] + data + filled[offset + len(data) :]


class Machine:
    """Follows a trace: what programs see, what is surely on the disk, and what is pending."""

    def __init__(self, root: str, *, present: Tree | None = None) -> None:
        self.root = root
        self.seen, self.durable = Nodes(), Nodes()
        self.pending: list[Pending] = []
        self.steps = self.kept = 0
        self.last_node = ROOT
        self.settled: dict[int, int] = {}
        self._owner: dict[int, int] = {}
        for path, content in sorted((present or {}).items()):
            self._lay(path, content)

    def _lay(self, path: str, content: bytes | None) -> None:
        """Put something on the disk that was there before the trace."""
        folder, _, name = path.rpartition("/")
        parent = ROOT if not folder else self._folder_before(folder)
        node = self._new()
        for nodes in (self.seen, self.durable):
            nodes.folders[parent][name] = node
            if content is None:
                nodes.folders[node] = {}
            else:
                nodes.contents[node] = content

    def _folder_before(self, path: str) -> int:
        node = self.seen.find(path)
        if node is None:
            self._lay(path, None)
            node = self.seen.find(path)
        assert node is not None
        return node

    def _new(self) -> int:
        self.last_node += 1
        return self.last_node

    def name_of(self, path: str) -> str:
        """Return a path relative to the machine's root; empty for the root itself."""
        return "" if path == self.root else path[len(self.root) + 1 :]

    def _node(self, path: str) -> int:
        name = self.name_of(path)
        return ROOT if not name else self._folder_or_file(name)

    def _folder_or_file(self, name: str) -> int:
        node = self.seen.find(name)
        return self._folder_before(name) if node is None else node

    def _parent(self, path: str) -> tuple[int, str]:
        folder, _, name = path.rpartition("/")
        return self._node(folder), name

    # --- following a trace -----------------------------------------------------------------------

    def do(self, call: Call) -> None:
        """Let one call have returned."""
        if not call.failed:
            getattr(self, f"_{call.kind}")(call)

    def _add(self, step: Pending) -> None:
        self.steps += 1
        step = replace(step, number=self.steps)
        for node in _nodes_of(step):
            self.settled.pop(self._owner.get(node, -1), None)
        self.seen.apply(step)
        self.pending.append(step)

    def _name(self, *names: tuple[int, str, int | None]) -> None:
        self._add(Pending(0, names=names, unsynced=frozenset(folder for folder, _, _ in names)))

    def _create(self, call: Call) -> None:
        node = self._new()
        for nodes in (self.seen, self.durable):
            nodes.contents[node] = b""
        self._name((*self._parent(call.path), node))

    def _mkdir(self, call: Call) -> None:
        node = self._new()
        for nodes in (self.seen, self.durable):
            nodes.folders[node] = {}
        self._name((*self._parent(call.path), node))

    def _symlink(self, call: Call) -> None:
        node = self._new()
        for nodes in (self.seen, self.durable):
            nodes.contents[node] = b"-> " + call.target.encode()
        self._name((*self._parent(call.path), node))

    def _unlink(self, call: Call) -> None:
        self._name((*self._parent(call.path), None))

    def _rmdir(self, call: Call) -> None:
        self._name((*self._parent(call.path), None))

    def _rename(self, call: Call) -> None:
        self._name((*self._parent(call.path), None), (*self._parent(call.target), self._node(call.path)))

    def _link(self, call: Call) -> None:
        self._name((*self._parent(call.target), self._node(call.path)))

    def _write(self, call: Call) -> None:
        self._add(Pending(0, write=(self._node(call.path), call.offset, call.data)))

    def _truncate(self, call: Call) -> None:
        self._add(Pending(0, write=(self._node(call.path), call.offset, None)))

    def _fsync(self, call: Call) -> None:
        node = self._node(call.path)
        left = []
        for step in self.pending:
            if step.write is not None and step.write[0] == node:
                self._keep(step)
                continue
            if node in step.unsynced:
                step = replace(step, unsynced=step.unsynced - {node})
                if not step.unsynced:
                    self._keep(step)
                    continue
            left.append(step)
        self.pending = left

    def _sync(self, call: Call) -> None:
        for step in self.pending:
            self._keep(step)
        self.pending = []

    def _keep(self, step: Pending) -> None:
        self.kept += 1
        self.durable.apply(step)

    # --- what is settled -----------------------------------------------------------------------

    def settle(self) -> None:
        """Close the folders of which nothing is pending: on every disk from now on they hold the same.

        A call that touches one opens it again.
        """
        busy = {node for step in self.pending for node in _nodes_of(step)}
        self.settled, self._owner = {}, {}
        self._settle(ROOT, busy)

    def _settle(self, folder: int, busy: set[int]) -> bool:
        below = [node for node in self.seen.folders[folder].values() if node in self.seen.folders]
        quiet = [self._settle(node, busy) for node in below]
        if all(quiet) and not busy & {folder, *self.seen.folders[folder].values()} and folder != ROOT:
            for node in below:
                self.settled.pop(node, None)
            self.settled[folder] = self.seen.digest(folder, {})
            for node in self._all_below(folder):
                self._owner[node] = folder
            return True
        return False

    def _all_below(self, folder: int) -> Iterator[int]:
        yield folder
        for node in self.seen.folders[folder].values():
            if node in self.seen.folders:
                yield from self._all_below(node)
            else:
                yield node

    # --- what may be on the disk -----------------------------------------------------------------

    def disks(self) -> Iterator[tuple[object, Sequence[Pending]]]:
        """Yield (key, steps that happened) for the disks that a power loss at this moment may leave.

        None and all; each alone, and all but each; every beginning and every end; and with everything else
        in place, each write torn in the middle, cut by one byte, or full of zeroes.
        """
        steps = self.pending
        for start in range(len(steps) + 1):
            yield self._keyed(steps[:start])
            yield self._keyed(steps[start:])
        for position, step in enumerate(steps):
            rest = steps[:position], steps[position + 1 :]
            yield self._keyed([step])
            yield self._keyed([*rest[0], *rest[1]])
            for torn in _torn(step):
                yield self._keyed([*rest[0], torn, *rest[1]])
                yield self._keyed([torn])

    def _keyed(self, steps: Sequence[Pending]) -> tuple[object, Sequence[Pending]]:
        return (self.kept, tuple((step.number, step.write and step.write[2]) for step in steps)), steps

    def disk(self, steps: Sequence[Pending]) -> Nodes:
        """Return the disk on which exactly these pending steps have happened."""
        touched = {folder for step in steps for folder, _, _ in step.names}
        found = Nodes(dict(self.durable.folders), dict(self.durable.contents))
        for folder in touched:
            found.folders[folder] = dict(found.folders.get(folder, {}))
        for step in steps:
            found.apply(step)
        return found


def _nodes_of(step: Pending) -> set[int]:
    """Return every folder and file that a step touches."""
    named = {node for folder, _, there in step.names for node in (folder, there) if node is not None}
    return named if step.write is None else named | {step.write[0]}


def _torn(step: Pending) -> Iterator[Pending]:
    if step.write is None or not step.write[2]:
        return
    node, offset, data = step.write
    parts = {data[: len(data) // 2], data[:-1], bytes(len(data))} - {b""}
    for part in sorted(parts):
        yield replace(step, write=(node, offset, part))


def present_below(root: str) -> Tree:
    """Return what lies below a folder now."""
    found: Tree = {}
    for folder, names, files in os.walk(root):
        for name in names:
            found[os.path.join(folder, name)[len(root) + 1 :]] = None
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as stream:
                found[path[len(root) + 1 :]] = stream.read()
    return found
