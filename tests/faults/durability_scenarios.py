"""What else of the package claims to be durable, each recorded alone: the sites that a run never passes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from power_model import Tree, present_below
from power_promises import Acknowledged, Checker, acknowledging
from syscalls import Call, Shim, installed

from deft import files


@dataclass
class Recorded:
    """A trace, what was on the disk before it, and what it acknowledged."""

    name: str
    root: Path
    calls: list[Call] = field(default_factory=list)
    present: Tree = field(default_factory=dict)
    acknowledged: Acknowledged = field(default_factory=Acknowledged)

    def checker(self, scratch: Path) -> Checker:
        """Return a judge of the disks of this trace."""
        return Checker(str(self.root), self.calls, self.acknowledged, scratch, present=self.present)


class Promise:
    """Lets a scenario say what its callers may count on."""

    def __init__(self, shim: Shim, told: Acknowledged) -> None:
        self._shim, self._told = shim, told

    def published(self, folder: Path) -> None:
        """The folder is whole from now on."""
        self._told.published.append((self._shim.count, str(folder)))

    def written(self, path: Path, content: bytes) -> None:
        """The file holds this from now on."""
        self._told.written.append((self._shim.count, str(path), files.sha256_of_bytes(content)))


Work = Callable[[Path, Promise], None]


def recorded(name: str, root: Path, work: Callable[[Path], Work]) -> Recorded:
    """Prepare a scenario in a folder and record it."""
    root.mkdir(parents=True)
    scenario = work(root)
    present = present_below(str(root))
    shim = Shim(root, keep=True)
    silence = contextlib.redirect_stdout(io.StringIO())
    with installed(shim), acknowledging(shim) as told, silence:
        scenario(root, Promise(shim, told))
    return Recorded(name, root, shim.calls, present, told)


# --- scenarios: each prepares, and returns the work to be recorded ---------------------------------------


def torn_line(root: Path) -> Work:
    """The next append cuts a torn line and writes in its place."""
    from deft.run.log import LoopLog

    note = {"iter": "baseline", "stage": "note", "status": "ok", "summary": "a note", "kind": "note"}
    run = root / "run"
    files.write_text(run / "plan.json", "{}")
    log = LoopLog(run / "loop_log.jsonl")
    log.append(note)
    log.path.write_bytes(log.path.read_bytes() + b'{"seq": 2, "ts": "2026-')
    return lambda root, promise: log.append(note) and None


def one_step(root: Path) -> Work:
    """A step by hand fills a folder of its own, which has its name only when it is complete."""
    from deft.run.gate import save_pending
    from deft.steps.gate import Step, carry_out, plan_of
    from loop_fixtures import SILENT
    from step_fixtures import say_go
    from stub_platform import StubPlatform

    class Request:
        def step(self) -> Step:
            raise NotImplementedError

        def work(self, folder: Path, platform: Any, progress: Any) -> dict[str, Any]:
            (folder / "drawn.txt").write_text("written without a sync")
            return {"written": 1}

    table = files.write_text(root / "tables" / "targets.parquet", "rows")
    asked = Step(
        kind="mine",
        arguments=("mine", str(table)),
        inputs=(table,),
        settings={"top_k_per_target": {"value": 5, "source": "default"}},
        results=root / "tables" / "out" / "mining_results",
        writes=("drawn.txt",),
        calls={"embedding image_embeddings": 2},
        platform="embedded",
    )
    plan = plan_of(asked)
    save_pending(plan)
    say_go(Path(plan["workspace"]))

    def work(root: Path, promise: Promise) -> None:
        promise.published(carry_out(Request(), asked, plan, StubPlatform(), SILENT)[1])

    return work


def streams(root: Path) -> Work:
    """Large files are written piece by piece, and of two that publish one wins."""
    from deft.streams import creating, publish_first, replacing

    def work(root: Path, promise: Promise) -> None:
        for name in ("one", "two"):
            with replacing(root / "table.parquet") as stream:
                stream.write(name.encode())
            promise.written(root / "table.parquet", name.encode())
        with creating(root / "results" / "part.parquet") as stream:
            stream.write(b"part")
        promise.published(root / "results")
        files.write_text(root / "shards" / "draft", "receipt")
        assert publish_first(root / "shards" / "draft", root / "shards" / "receipt")
        promise.written(root / "shards" / "receipt", b"receipt")

    return work


def checkpoint(root: Path) -> Work:
    """The link to the newest checkpoint moves in one step."""
    from deft.tools.visual_changenet.checkpoint import LATEST, write_checkpoint

    def work(root: Path, promise: Promise) -> None:
        for epoch in (0, 1):
            path = write_checkpoint(root, epoch=epoch, step=epoch, settings={}, weights={}, training={})
            promise.written(path, path.read_bytes())
            promise.written(root / LATEST, b"-> " + path.name.encode())

    return work


def new_workspace(root: Path) -> Work:
    """A drawn or imported workspace appears whole."""
    from deft.workspace.construction import new_workspace as construct
    from deft.workspace.construction import place_image

    def work(root: Path, promise: Promise) -> None:
        with construct(root / "workspace") as site:
            for number in range(3):
                place_image(site.root / "kpi" / "images" / f"{number}.jpg", bytes(64))
        promise.published(root / "workspace")

    return work


def staged_pairs(root: Path) -> Work:
    """Pairs are staged into folders that appear whole."""
    from deft.workspace.pairs import prepare_pairs
    from tiny_workspace import make_workspace

    workspace = make_workspace(root / "workspace", pairs=3)

    def work(root: Path, promise: Promise) -> None:
        images = root / "images"
        prepare_pairs(
            workspace.reconstructed_images, workspace.original_images, root / "out.csv", images_dir=images
        )
        for folder in sorted(images.iterdir()):
            promise.published(folder)

    return work


def source_pool(root: Path) -> Work:
    """A source pool that is built anew replaces the old one whole."""
    from deft.workspace.source_pool import prestage
    from tiny_workspace import make_workspace

    workspace = make_workspace(root / "workspace", pairs=3)

    def work(root: Path, promise: Promise) -> None:
        for force in (False, True):
            prestage(workspace.root, root / "results", force=force, image_ext=".png")
            promise.published(root / "results" / "synth_pool")

    return work


def packaged(root: Path) -> Work:
    """What is packed beside a report is whole."""
    from deft.guard.packaging import _copy
    from deft.guard.redaction import Redactor

    (root / "session.jsonl").write_text('{"type": "user"}\n' * 3)

    def work(root: Path, promise: Promise) -> None:
        _copy(
            str(root / "session.jsonl"), str(root / "rca" / "claude_session.jsonl"), str(root), Redactor({})
        )

    return work


SCENARIOS: dict[str, Callable[[Path], Work]] = {
    function.__name__: function
    for function in (
        torn_line,
        one_step,
        streams,
        checkpoint,
        new_workspace,
        staged_pairs,
        source_pool,
        packaged,
    )
}


def all_recorded(base: Path) -> Iterator[Recorded]:
    """Record every scenario."""
    for name, work in SCENARIOS.items():
        yield recorded(name, base / name, work)
