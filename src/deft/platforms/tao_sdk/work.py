"""What one job is given: neighbouring calls of one image, and every file that they may read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from deft import files
from deft.platforms.base import ToolCall
from deft.platforms.containers import container_spec, container_words, leaves
from deft.workspace.layout import RunFolder

JOBS = "jobs"
LEFT_OUT = ("results",)
ATTEMPT = re.compile(r"\.attempt-\d+(?=/|$)")


@dataclass(frozen=True)
class Work:
    """Neighbouring calls of one image: one job carries them out."""

    calls: tuple[ToolCall, ...]
    image: str

    @cached_property
    def folder(self) -> Path:
        """The one folder below which all calls write."""
        return Path(os.path.commonpath([str(call.writes.absolute()) for call in self.calls]))

    @property
    def place(self) -> Path:
        """Where submissions are noted: outside what the stage may empty, the same for every attempt."""
        identity = self.calls[0].identity
        if identity is None:
            return self.folder.parent / f".{self.folder.name}.{JOBS}"
        run = next(RunFolder(folder) for folder in self.folder.parents if folder.name == identity.run)
        return run.runner / JOBS / f"{identity.phase}-{identity.stage}"

    @property
    def is_by_hand(self) -> bool:
        """Say whether no stage stands behind the calls, so that nothing tells their inputs apart."""
        return self.calls[0].identity is None

    @property
    def attempt(self) -> int:
        """Return the number of the stage's attempt."""
        return self.calls[0].identity.attempt if self.calls[0].identity else 0

    @property
    def key(self) -> str:
        """Return the hash of everything that the stage reads."""
        return self.calls[0].identity.key if self.calls[0].identity else ""

    @cached_property
    def signature(self) -> str:
        """Return the hash of what is asked: inputs and calls, whatever number the attempt's folder has.

        Results name their files from that folder on, so those of one attempt fit into the next.
        """
        asked = [[ATTEMPT.sub("", word) for word in call.arguments()] for call in self.calls]
        return files.sha256_of_record([self.key, *asked])

    @property
    def gpus(self) -> int:
        """Return how many GPUs the most demanding call wants."""
        return max(call.gpus for call in self.calls)

    def commands(self) -> list[tuple[ToolCall, list[str]]]:
        """Write the spec of each call and return what carries it out inside the image."""
        return [(call, container_words(call, _spec_file(call))) for call in self.calls]

    def inputs(self) -> Iterator[Path]:
        """Yield every file the calls may read: what specs name, the roots without results, their folder."""
        yield from files.files_below(self.folder)
        for call in self.calls:
            spec = container_spec(call)
            yield from _named(spec)
            yield from _listed(spec)
            for root in call.reads:
                yield from _data_below(root)


def _spec_file(call: ToolCall) -> Path:
    return files.write_yaml(call.log.with_suffix(".container.yaml"), container_spec(call))


def _named(spec: Mapping[str, Any]) -> Iterator[Path]:
    for _, value in leaves(spec):
        path = Path(value) if isinstance(value, str) and value.startswith("/") else None
        if path is not None and path.exists():
            yield from [path] if path.is_file() else files.files_below(path)


def _listed(spec: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the images that the table of an embedding lists, wherever they lie."""
    table = spec.get("input_parquet")
    if isinstance(table, str) and Path(table).is_file():
        rows = files.read_parquet(Path(table), required=("filepath",))
        for column in ("filepath", "golden_filepath"):
            yield from (Path(path) for path in rows.get(column, ()) if Path(str(path)).is_file())


def _data_below(root: Path) -> Iterator[Path]:
    for entry in sorted(root.iterdir()):
        if entry.name.startswith(".") or entry.name in LEFT_OUT:
            continue
        yield from [entry] if entry.is_file() else files.files_below(entry)
