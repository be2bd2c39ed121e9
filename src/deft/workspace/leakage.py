"""One identity for an image, its content: the overlaps of train, validation, KPI, holdout and pool.

The same bytes or the same decoded pixels on two sides end the work, whatever the rows call them. Two kinds of
overlap do not: crops that equal their own golden or have one colour repeat legitimately (trivial), and lossy
copies are only likely ones. Both are reported. Golden images are shared between sides and are no leak.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path

import pandas as pd

from deft.errors import LeakageFound
from deft.progress import Progress
from deft.workspace.near_copies import near_copies
from deft.workspace.pixels import PictureReader
from deft.workspace.rows import FIRST_DATA_ROW, LISTED, ImageLayout


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image stands: a side, a row as a spreadsheet counts it, a path; and the golden beside it."""

    side: str
    row: int
    path: str
    golden: str
    label: str

    def __str__(self) -> str:
        return f"{self.side} row {self.row} ({self.path})"


@dataclass(frozen=True)
class Side:
    """All input images of one side, every light of every row."""

    name: str
    places: tuple[Place, ...]

    @classmethod
    def of_table(cls, name: str, table: pd.DataFrame, images_dir: Path, layout: ImageLayout) -> Side:
        """Return the side that a table makes under an image root."""
        labels = table["label"].tolist()
        inputs = layout.column_paths(table, images_dir, "input_path")
        goldens = layout.column_paths(table, images_dir, "golden_path")
        return cls(
            name,
            tuple(
                Place(name, row, path, golden, label)
                for paths, golden_paths in zip(inputs, goldens, strict=True)
                for row, (path, golden, label) in enumerate(
                    zip(paths, golden_paths, labels, strict=True), start=FIRST_DATA_ROW
                )
            ),
        )


@dataclass(frozen=True)
class Overlap:
    """One image of the second side that stands on the first side too; `error` in levels of 255."""

    first: Place
    second: Place
    kind: str
    error: float = 0.0

    def __str__(self) -> str:
        return f"{self.first} and {self.second}: {self.kind}"


@dataclass(frozen=True)
class LeakageReport:
    """Overlaps between sides: forbidden, trivial and likely lossy ones; and how much was compared."""

    identical: list[Overlap] = field(default_factory=list)
    trivial: list[Overlap] = field(default_factory=list)
    lossy: list[Overlap] = field(default_factory=list)
    images: int = 0
    unchecked: int = 0

    def sentences(self) -> list[str]:
        """Return one sentence for each kind of overlap that was found, fit for the log and the report."""
        return [
            *_sentence(self.identical, "identical image(s) on two sides"),
            *_sentence(
                self.trivial, "crop(s) equal to their own golden, or of one colour, repeat across sides"
            ),
            *_sentence(self.lossy, "likely lossy copies across sides (kept)"),
            *([f"up to {self.unchecked} similar pairs were too many to confirm"] if self.unchecked else []),
        ]

    def record(self) -> dict[str, object]:
        """Return counts and the first overlaps of each kind as JSON."""
        kinds = {"identical": self.identical, "trivial": self.trivial, "lossy": self.lossy}
        return {
            "images": self.images,
            **{f"{kind}_count": len(overlaps) for kind, overlaps in kinds.items()},
            **{kind: [asdict(overlap) for overlap in overlaps[:LISTED]] for kind, overlaps in kinds.items()},
            "unchecked_candidates": self.unchecked,
        }


def _sentence(overlaps: Sequence[Overlap], what: str) -> list[str]:
    return [f"{len(overlaps)} {what}, first {overlaps[0]}"] if overlaps else []


def find_overlaps(
    sides: Sequence[Side], *, against: str | None = None, progress: Progress | None = None
) -> LeakageReport:
    """Compare sides two by two (only with side `against`, if given) and report every overlap.

    Each row of the later side counts once for each earlier side. An image that cannot be read is refused.
    """
    reader = PictureReader()
    reader.read_all((place.path for side in sides for place in side.places), progress)
    report = LeakageReport(images=sum(len(side.places) for side in sides))
    grouped = {side.name: _by_pixels(side, reader) for side in sides}
    unchecked = 0
    for first, second in combinations([side.name for side in sides], 2):
        if against in (None, first, second):
            for overlap, is_trivial in _exact(grouped[first], grouped[second], reader):
                (report.trivial if is_trivial else report.identical).append(overlap)
            lossy, missed = _lossy(grouped[first], grouped[second], reader)
            report.lossy.extend(lossy)
            unchecked += missed
    return LeakageReport(report.identical, report.trivial, report.lossy, report.images, unchecked)


def assert_disjoint(report: LeakageReport) -> None:
    """Raise LeakageFound, listing the first five, when the same image stands on two sides."""
    if report.identical:
        listed = [str(overlap) for overlap in report.identical[:LISTED]]
        more = ["..."] if len(report.identical) > LISTED else []
        raise LeakageFound(
            f"{len(report.identical)} image(s) stand on two sides",
            value="\n  ".join(["", *listed, *more]),
            hint="remove the rows from one side: a model must not be judged on what it learned",
        )


Groups = dict[str, list[Place]]


def _by_pixels(side: Side, reader: PictureReader) -> Groups:
    groups: Groups = defaultdict(list)
    for place in side.places:
        groups[reader.picture(place.path).pixels].append(place)
    return groups


def _exact(first: Groups, second: Groups, reader: PictureReader) -> Iterator[tuple[Overlap, bool]]:
    """Yield each overlap of equal pixels and whether it is trivial: on both sides, or of one colour."""
    for pixels, places in second.items():
        if pixels not in first:
            continue
        telling = [place for place in first[pixels] if not _is_trivial(place, reader)]
        known = (telling or first[pixels])[0]
        for place in places:
            same_bytes = reader.content(known.path) == reader.content(place.path)
            kind = "same file content" if same_bytes else "same pixels"
            is_uniform = reader.picture(place.path).is_uniform
            is_trivial = is_uniform or (not telling and _is_trivial(place, reader))
            yield Overlap(known, place, kind), is_trivial


def _is_trivial(place: Place, reader: PictureReader) -> bool:
    return reader.picture(place.golden).pixels == reader.picture(place.path).pixels


def _lossy(first: Groups, second: Groups, reader: PictureReader) -> tuple[list[Overlap], int]:
    """Return likely copies between contents that are not on both sides, and not trivial."""
    ones, twos = (
        [group[0] for pixels, group in groups.items() if pixels not in other]
        for groups, other in ((first, second), (second, first))
    )
    found, unchecked = near_copies(
        [reader.picture(place.path) for place in ones],
        [reader.picture(place.path) for place in twos],
        [place.label for place in ones],
        [place.label for place in twos],
    )
    overlaps = [
        Overlap(ones[i], twos[j], "likely lossy copy", round(error, 2))
        for i, j, error in found
        if not (_is_trivial(ones[i], reader) and _is_trivial(twos[j], reader))
    ]
    return overlaps, unchecked
