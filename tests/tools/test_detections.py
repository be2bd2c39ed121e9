"""Classes of an image are found by its path, its base name or its stem."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deft.errors import InputRefused, UsageError
from deft.tools.detections import read_detections


def coco(path: Path, images: dict[str, list[str]]) -> Path:
    names = sorted({name for classes in images.values() for name in classes})
    annotations = [
        {"image_id": number, "category_id": names.index(name)}
        for number, classes in enumerate(images.values())
        for name in classes
    ]
    record: dict[str, Any] = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(images)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
        "annotations": annotations,
    }
    path.write_text(json.dumps(record))
    return path


def test_a_coco_file_names_classes_in_lower_case_with_their_instances(tmp_path: Path) -> None:
    read = read_detections(coco(tmp_path / "a.json", {"/x/1.jpg": ["Bridge", "Bridge", "chip"]}), "coco")
    assert read.of("/x/1.jpg") == {"bridge": 2, "chip": 1}
    assert read.of("/elsewhere/1.jpg") == {"bridge": 2, "chip": 1}
    assert read.of("/x/2.jpg") == {}


def test_a_base_name_that_stands_for_two_images_finds_neither(tmp_path: Path) -> None:
    images = {"/x/1.jpg": ["bridge"], "/y/1.jpg": ["chip"]}
    read = read_detections(coco(tmp_path / "a.json", images), "coco")
    assert read.of("/y/1.jpg") == {"chip": 1}
    assert read.of("/z/1.jpg") == {}


def test_kitti_labels_are_found_by_stem_without_short_and_ignored_lines(tmp_path: Path) -> None:
    lines = ["Bridge 0 0 0 1 2 3 4 0 0 0 0 0 0 0", "DontCare 0 0 0 1 2 3 4", "chip 0 0", ""]
    (tmp_path / "1.txt").write_text("\n".join(lines))
    assert read_detections(tmp_path, "kitti").of("/any/1.jpg") == {"bridge": 1}
    assert read_detections(tmp_path / "1.txt", "kitti").of("/any/1.png") == {"bridge": 1}


def test_a_summary_counts_images_and_instances(tmp_path: Path) -> None:
    images = {"/1": ["bridge", "bridge", "chip"], "/2": ["chip"], "/3": []}
    read = read_detections(coco(tmp_path / "a.json", images), "coco")
    assert read.summary(["/1", "/2", "/3", "/4"], frozenset({"bridge"})) == {
        "total_images": 4,
        "rare_images": 1,
        "common_images": 3,
        "rare_instances": 2,
        "per_class": {
            "bridge": {"image_count": 1, "instance_count": 2},
            "chip": {"image_count": 2, "instance_count": 2},
        },
    }


@pytest.mark.parametrize("form", [None, "voc"])
def test_a_form_that_is_not_known_is_refused(tmp_path: Path, form: str | None) -> None:
    with pytest.raises(UsageError, match="detection_format=coco"):
        read_detections(tmp_path, form)


@pytest.mark.parametrize("text", ["{}", "[]", '{"images": [], "categories": [], "annotations": [{}]}'])
def test_a_file_that_is_no_coco_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputRefused, match="not a COCO record"):
        read_detections(tmp_path / "a.json", "coco")
