"""Embed rows: read each file once, ask the cache, compute what is new, average over the lights."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft.embedding.cache import VectorCache
from deft.embedding.encoders import Component, Encoder, Item, Sample
from deft.errors import InputRefused
from deft.files import sha256_of_bytes, sha256_of_file, sha256_of_record

Matrix = NDArray[np.float32]
OnProgress = Callable[[int, int], None]
_Plan = dict[int, list[Item]]


@dataclass(frozen=True)
class Embedded:
    """The vectors of some rows: a block (accepted rows, width) a component, and why other rows have none.

    `contents` is the hash of what stood in the files of all these rows.
    """

    blocks: list[Matrix]
    accepted: list[int]
    rejected: dict[int, str]
    contents: str = ""


class SampleEmbedder:
    """Embeds samples by one encoder; vectors seen before, by content, come from the cache."""

    def __init__(self, encoder: Encoder) -> None:
        self._components = [
            _CachedComponent(component, VectorCache(component.identity)) for component in encoder.components
        ]

    def embed(
        self, samples: Sequence[Sample], on_progress: OnProgress = lambda done, total: None
    ) -> Embedded:
        """Return the blocks of the samples that could be read, in their order; the others are never raised.

        `on_progress(done, total)` counts the items of all components that had to be computed.
        """
        rejected: dict[int, str] = {}
        plans = self._hashed_plans(samples, rejected)
        contents = self._contents_of(plans)
        total = sum(len(component.prepare()) for component in self._components)
        done = 0
        for component in self._components:
            for count in component.compute():
                done += count
                on_progress(done, total)
        for component, plan in zip(self._components, plans, strict=True):
            _mark_failures(component, plan, rejected)
        accepted = [row for row in range(len(samples)) if row not in rejected]
        blocks = [
            component.block([plan[row] for row in accepted])
            for component, plan in zip(self._components, plans, strict=True)
        ]
        return Embedded(blocks, accepted, dict(sorted(rejected.items())), contents)

    def contents(self, samples: Sequence[Sample]) -> str:
        """Return the hash of what stands in the files of some samples now; nothing is embedded."""
        return self._contents_of(self._hashed_plans(samples, {}))

    def _hashed_plans(self, samples: Sequence[Sample], rejected: dict[int, str]) -> list[_Plan]:
        plans = [_plan(component, samples, rejected) for component in self._components]
        for component, plan in zip(self._components, plans, strict=True):
            component.hash_files(plan)
        return plans

    def _contents_of(self, plans: Sequence[_Plan]) -> str:
        return sha256_of_record(
            [component.contents(plan) for component, plan in zip(self._components, plans, strict=True)]
        )


def _plan(component: _CachedComponent, samples: Sequence[Sample], rejected: dict[int, str]) -> _Plan:
    plan = {}
    for row, sample in enumerate(samples):
        try:
            if not sample.images:
                raise InputRefused("row names no image", value=row)
            plan[row] = component.items(sample)
        except InputRefused as refusal:
            rejected.setdefault(row, refusal.fact)
    return plan


def _mark_failures(component: _CachedComponent, plan: _Plan, rejected: dict[int, str]) -> None:
    for row, items in plan.items():
        for item in items:
            if item in component.failures:
                rejected.setdefault(row, component.failures[item])


class _CachedComponent:
    """One component beside its cache, for one group of samples at a time."""

    def __init__(self, component: Component, cache: VectorCache) -> None:
        self._component, self._cache = component, cache
        self.items = component.items
        self._readers = ThreadPoolExecutor()
        self.failures: dict[Item, str] = {}
        self._digests: dict[Item, str] = {}
        self._vectors: dict[str, Matrix] = {}
        self._missing: dict[str, Item] = {}

    def hash_files(self, plan: _Plan) -> None:
        """Begin a group: hash its files."""
        self.failures, self._digests = {}, {}
        for item in dict.fromkeys(item for items in plan.values() for item in items):
            try:
                self._digests[item] = _content_digest(item)
            except OSError as error:
                self.failures[item] = f"file cannot be read ({error.strerror})"

    def contents(self, plan: _Plan) -> list[list[str]]:
        """Return the hash of each item of each row, empty where it cannot be read."""
        return [[self._digests.get(item, "") for item in items] for items in plan.values()]

    def prepare(self) -> dict[str, Item]:
        """Take what the cache has of the hashed group, and return what has to be computed."""
        self._vectors, self._missing = {}, {}
        for item, digest in self._digests.items():
            self._take(digest, item)
        return self._missing

    def _take(self, digest: str, item: Item) -> None:
        if digest in self._vectors:
            return
        known = self._cache.find(digest)
        if known is None:
            self._missing.setdefault(digest, item)
        else:
            self._vectors[digest] = known

    def compute(self) -> Iterable[int]:
        """Compute the missing vectors batch by batch, yielding how many items each batch settled."""
        missing, size = list(self._missing.items()), self._component.batch_size
        batches = [missing[start : start + size] for start in range(0, len(missing), size)]
        fresh: dict[str, Matrix] = {}
        reading = deque(self._read(batch) for batch in batches[:1])
        for batch, following in zip_longest(batches, batches[1:]):
            if following:  # its files are read while this batch is computed
                reading.append(self._read(following))
            fresh.update(self._compute_batch(batch, reading.popleft()))
            yield len(batch)
        self._cache.add(fresh)
        self._vectors.update(fresh)
        for item, digest in self._digests.items():
            if digest not in self._vectors:
                self.failures[item] = self.failures[self._missing[digest]]

    def _read(self, batch: Sequence[tuple[str, Item]]) -> list[Future[Any]]:
        return [self._readers.submit(self._load, wanted) for wanted in batch]

    def _compute_batch(
        self, batch: Sequence[tuple[str, Item]], reading: Sequence[Future[Any]]
    ) -> dict[str, Matrix]:
        loaded, digests = [], []
        for (digest, item), read in zip(batch, reading, strict=True):
            content = read.result()
            if isinstance(content, InputRefused):
                self.failures[item] = content.fact
            else:
                loaded.append(content)
                digests.append(digest)
        return dict(zip(digests, self._component.embed(loaded), strict=True)) if loaded else {}

    def _load(self, wanted: tuple[str, Item]) -> Any:
        """Return what the component reads for an item, or its refusal: one bad file ends no others."""
        try:
            return self._component.load(wanted[1])
        except InputRefused as refusal:
            return refusal

    def block(self, rows: Sequence[Sequence[Item]]) -> Matrix:
        """Return one vector a row, the mean over its lights: float32, (rows, width)."""
        means = [
            np.mean([self._vectors[self._digests[item]] for item in items], axis=0, dtype=np.float64)
            for items in rows
        ]
        return np.asarray(means, dtype=np.float32).reshape(len(rows), -1 if means else 0)


def _content_digest(item: Item) -> str:
    digests = [sha256_of_file(Path(path)) for path in item]
    return digests[0] if len(digests) == 1 else sha256_of_bytes("".join(digests).encode("ascii"))
