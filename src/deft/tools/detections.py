"""Which object classes an image shows: labels in COCO or KITTI form, found by path, base name or stem."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deft import files
from deft.errors import InputRefused, UsageError

KITTI_IGNORED = "dontcare"
KITTI_FIELDS = 8
Instances = Mapping[str, int]


@dataclass(frozen=True)
class Detections:
    """Instances a class of each labelled image, by full path, by base name and by stem."""

    by_path: dict[str, Instances] = field(default_factory=dict)
    by_name: dict[str, Instances] = field(default_factory=dict)
    by_stem: dict[str, Instances] = field(default_factory=dict)

    def of(self, image: str) -> Instances:
        """Return how many instances of each class an image shows; none where it is not labelled."""
        path = Path(image)
        for lookup, key in ((self.by_path, image), (self.by_name, path.name), (self.by_stem, path.stem)):
            if key in lookup:
                return lookup[key]
        return {}

    def summary(self, images: Iterable[str], rare: frozenset[str]) -> dict[str, Any]:
        """Return counts of images and instances, in all, with a rare class, and of each class."""
        shown = [self.of(image) for image in images]
        pictures = Counter(name for found in shown for name in found)
        instances = Counter[str]()
        for found in shown:
            instances.update(found)
        with_rare = sum(not rare.isdisjoint(found) for found in shown)
        return {
            "total_images": len(shown),
            "rare_images": with_rare,
            "common_images": len(shown) - with_rare,
            "rare_instances": sum(instances[name] for name in rare),
            "per_class": {
                name: {"image_count": pictures[name], "instance_count": instances[name]}
                for name in sorted(pictures)
            },
        }


def read_detections(path: Path, form: str | None) -> Detections:
    """Read a COCO file, or a KITTI label file or folder of them; another form is refused."""
    if form == "coco":
        return _read_coco(path)
    if form == "kitti":
        return _read_kitti(path)
    raise UsageError(
        "detection_format is required with a detection file",
        value=form,
        hint="add detection_format=coco or detection_format=kitti",
    )


def _read_coco(path: Path) -> Detections:
    try:
        record = json.loads(files.read_text(path))
        names = {category["id"]: str(category["name"]).lower() for category in record["categories"]}
        found = {image["id"]: (str(image["file_name"]), Counter[str]()) for image in record["images"]}
        for annotation in record["annotations"]:
            found[annotation["image_id"]][1][names[annotation["category_id"]]] += 1
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise InputRefused(f"file is not a COCO record of detections ({error})", value=path) from None
    return Detections(
        by_path=dict(found.values()),
        by_name=_unambiguous((Path(name).name, classes) for name, classes in found.values()),
    )


def _unambiguous(pairs: Iterable[tuple[str, Instances]]) -> dict[str, Instances]:
    grouped = defaultdict(list)
    for name, classes in pairs:
        grouped[name].append(classes)
    return {name: classes[0] for name, classes in grouped.items() if len(classes) == 1}


def _read_kitti(path: Path) -> Detections:
    labels = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    return Detections(by_stem={label.stem: _kitti_classes(files.read_text(label)) for label in labels})


def _kitti_classes(text: str) -> Instances:
    rows = [line.split() for line in text.splitlines()]
    names = [row[0].lower() for row in rows if len(row) >= KITTI_FIELDS]
    return Counter(name for name in names if name != KITTI_IGNORED)
