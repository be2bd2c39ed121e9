"""One identity for an image, its content: the overlaps of train, validation, KPI, holdout and pool.

The same bytes or the same decoded pixels on two sides end the work, whatever the rows call them. Two kinds of
overlap do not: crops that equal their own golden or have one colour repeat legitimately (trivial), and lossy
copies are only likely ones. Both are reported. Golden images are shared between sides and are no leak.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from deft.errors import LeakageFound
from deft.progress import Progress
from deft.workspace.image_columns import ImageColumns, Numbers
from deft.workspace.near_copies import Copy, near_copies
from deft.workspace.pixels import PictureReader, agree_at_full_size
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
    """All input images of one side, every light of every row, as columns; `row` is a spreadsheet's."""

    name: str
    images: ImageColumns
    rows: Numbers
    labels: Numbers
    label_names: tuple[str, ...]

    @classmethod
    def of_table(cls, name: str, table: pd.DataFrame, images_dir: Path, layout: ImageLayout) -> Side:
        """Return the side that a table makes under an image root."""
        labels, names = pd.factorize(table["label"])
        rows = np.arange(FIRST_DATA_ROW, FIRST_DATA_ROW + len(table), dtype=np.int32)
        lights = len(layout.endings)
        images = ImageColumns.of(table, images_dir, layout)
        return cls(
            name, images, np.tile(rows, lights), np.tile(labels.astype(np.int32), lights), tuple(names)
        )

    def followed_by(self, pairs: Sequence[tuple[str, str, str]], *, first_row: int) -> Side:
        """Return the side with further images behind it, each an input, a golden and a label."""
        paths = [path for pair in pairs for path in pair[:2]]
        even = np.arange(0, len(paths), 2, dtype=np.int32)
        labels = np.arange(len(pairs), dtype=np.int32)
        return Side(
            self.name,
            self.images.joined(ImageColumns(paths, even, even + np.int32(1))),
            np.concatenate([self.rows, labels + np.int32(first_row)]),
            np.concatenate([self.labels, labels + np.int32(len(self.label_names))]),
            (*self.label_names, *(label for _, _, label in pairs)),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, image: int) -> Place:
        """Return where an image stands."""
        paths = self.images.paths
        return Place(
            self.name,
            int(self.rows[image]),
            paths[self.images.inputs[image]],
            paths[self.images.goldens[image]],
            self.label_names[self.labels[image]],
        )

    def input_paths(self) -> list[str]:
        """Return the distinct paths of the inputs."""
        return [self.images.paths[number] for number in np.unique(self.images.inputs)]

    def golden_paths(self) -> list[str]:
        """Return the distinct paths of the goldens."""
        return [self.images.paths[number] for number in np.unique(self.images.goldens)]


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
    reader.read_all((path for side in sides for path in side.input_paths()), progress)
    contents = _Contents(reader)
    shown = {side.name: _Shown.of(side, contents) for side in sides}
    report, unchecked = LeakageReport(images=sum(map(len, sides))), 0
    for first, second in combinations(shown, 2):
        if against in (None, first, second):
            for overlap, is_trivial in _exact(shown[first], shown[second]):
                (report.trivial if is_trivial else report.identical).append(overlap)
            lossy, missed = _lossy(shown[first], shown[second])
            report.lossy.extend(lossy)
            unchecked += missed
    return replace(report, unchecked=unchecked)


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


Images = npt.NDArray[np.intp]


class _Contents:
    """Number the distinct pixels of all sides, so that columns of images compare as columns of numbers."""

    def __init__(self, reader: PictureReader) -> None:
        self.reader = reader
        self._numbers: dict[str, int] = {}

    def number(self, path: str) -> int:
        pixels = self.reader.picture(path).pixels
        return self._numbers.setdefault(pixels, len(self._numbers))


@dataclass(frozen=True)
class _Shown:
    """What the images of a side show: the number of each image's pixels, and the images in their order."""

    side: Side
    contents: _Contents
    pixels: Numbers
    order: Images

    @classmethod
    def of(cls, side: Side, contents: _Contents) -> _Shown:
        distinct, inverse = np.unique(side.images.inputs, return_inverse=True)
        numbers = [contents.number(side.images.paths[path]) for path in distinct]
        pixels = np.array(numbers, dtype=np.int32)[inverse]
        return cls(side, contents, pixels, np.argsort(pixels, kind="stable"))

    def firsts(self) -> Images:
        """Return the first image of every content, in the order of the rows."""
        return np.sort(np.unique(self.pixels, return_index=True)[1])

    def alone(self, other: _Shown) -> Images:
        """Return the first image of every content that the other side does not show."""
        firsts = self.firsts()
        return firsts[~np.isin(self.pixels[firsts], other.pixels)]

    def showing(self, number: int) -> Images:
        """Return the images of one content, in the order of the rows."""
        begin, end = np.searchsorted(self.pixels, (number, number + 1), sorter=self.order)
        return self.order[begin:end]

    def are_golden(self, images: Images) -> npt.NDArray[np.bool_]:
        """Say of each image whether it equals its own golden."""
        distinct, inverse = np.unique(self.side.images.goldens[images], return_inverse=True)
        goldens = [self.contents.number(self.side.images.paths[path]) for path in distinct]
        found: npt.NDArray[np.bool_] = np.array(goldens, dtype=np.int32)[inverse] == self.pixels[images]
        return found


def _exact(first: _Shown, second: _Shown) -> Iterator[tuple[Overlap, bool]]:
    """Yield each overlap of equal pixels and whether it is trivial: on both sides, or of one colour."""
    reader = first.contents.reader
    common = second.pixels[second.firsts()]
    for number in common[np.isin(common, first.pixels)]:
        known, others = first.showing(number), second.showing(number)
        telling = known[~first.are_golden(known)]
        place = first.side.place((telling if len(telling) else known)[0])
        is_trivial = second.are_golden(others) & (not len(telling)) | reader.picture(place.path).is_uniform
        for image, trivial in zip(others, is_trivial, strict=True):
            other = second.side.place(image)
            same_bytes = reader.content(place.path) == reader.content(other.path)
            kind = "same file content" if same_bytes else "same pixels"
            yield Overlap(place, other, kind), bool(trivial)


def _lossy(first: _Shown, second: _Shown) -> tuple[list[Overlap], int]:
    """Return likely copies between contents that are not on both sides, and not trivial."""
    pictures = first.contents.reader.picture
    ones, twos = first.alone(second), second.alone(first)
    left, right = [first.side.place(image) for image in ones], [second.side.place(image) for image in twos]
    found, unchecked = near_copies(
        [pictures(place.path) for place in left],
        [pictures(place.path) for place in right],
        [place.label for place in left],
        [place.label for place in right],
    )
    overlaps = [
        Overlap(left[copy.first], right[copy.second], _kind_of(copy), round(copy.error, 2))
        for copy in found
        if not (first.are_golden(ones[[copy.first]])[0] and second.are_golden(twos[[copy.second]])[0])
        and (copy.one_label or agree_at_full_size(left[copy.first].path, right[copy.second].path))
    ]
    return overlaps, unchecked


def _kind_of(copy: Copy) -> str:
    return "likely lossy copy" if copy.one_label else "likely copy under another label"
