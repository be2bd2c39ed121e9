"""The same image on two sides is found by what it holds, whatever it is called."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deft.errors import InputRefused, LeakageFound
from deft.workspace.leakage import LeakageReport, Side, assert_disjoint, find_overlaps
from deft.workspace.rows import ImageLayout

LAYOUT = ImageLayout((), ".png")


def picture(seed: int, size: int = 48) -> np.ndarray:
    """Return blocks with fine texture: structure that a lossy encoder keeps, detail that it loses."""
    random = np.random.default_rng(seed)
    blocks = np.kron(random.integers(40, 215, (6, 6)), np.ones((size // 6, size // 6)))
    return np.clip(blocks + random.normal(0, 6, (size, size)), 0, 255).astype(np.uint8)


class Sides:
    """Sides made row by row; every row has an input picture and a golden."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows: dict[str, list[tuple[str, str, str, str]]] = {}

    def add(
        self, side: str, pixels: np.ndarray, golden: np.ndarray | None = None, label: str = "PASS"
    ) -> Path:
        name = f"U{len(self.rows.setdefault(side, []))}"
        path = self.root / side / "in" / f"{name}.png"
        golden_path = self.root / side / "ok" / f"{name}.png"
        for target in (path, golden_path):
            target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        Image.fromarray(picture(10_000 + len(self.rows[side])) if golden is None else golden).save(
            golden_path
        )
        self.rows[side].append((f"{side}/in", f"{side}/ok", label, name))
        return path

    def side(self, name: str) -> Side:
        columns = ["input_path", "golden_path", "label", "object_name"]
        return Side.of_table(name, pd.DataFrame(self.rows[name], columns=columns), self.root, LAYOUT)

    def compare(self, *names: str, against: str | None = None) -> LeakageReport:
        return find_overlaps([self.side(name) for name in names or self.rows], against=against)


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    made = Sides(tmp_path)
    for n, name in enumerate(("train", "kpi")):
        for seed in range(3):
            made.add(name, picture(100 * n + seed))
    return made


# --- the same image


def test_disjoint_sides_pass(sides: Sides) -> None:
    report = sides.compare()
    assert (report.identical, report.trivial, report.lossy, report.images) == ([], [], [], 6)
    assert report.sentences() == []
    assert_disjoint(report)


def test_one_file_on_two_sides_ends_the_work_and_both_rows_are_named(sides: Sides) -> None:
    """B10: the original compared path strings, so any other spelling of one image was no overlap."""
    sides.add("kpi", picture(1))
    with pytest.raises(LeakageFound, match=r"train row 3 .*kpi row 5 .*same file content") as caught:
        assert_disjoint(sides.compare())
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("spelling", ["prefix", "absolute", "symlink", "hard link", "case", "other board"])
def test_no_spelling_of_a_path_hides_an_image(sides: Sides, spelling: str) -> None:
    """B10: a `kpi/images/` prefix, another case or an empty board name each defeated the original."""
    leaked = sides.root / "train/in/U1.png"
    target = sides.root / "kpi/in" / {"case": "u1.png"}.get(spelling, "V.png")
    row = ("kpi/in", "kpi/ok", "PASS", target.stem)
    if spelling == "symlink":
        target.symlink_to(leaked)
    elif spelling == "hard link":
        target.hardlink_to(leaked)
    elif spelling in ("prefix", "absolute"):
        folder = "kpi/../train/in" if spelling == "prefix" else str(leaked.parent)
        row = (folder, "train/ok", "PASS", "U1")
    else:
        target.write_bytes(leaked.read_bytes())
    (sides.root / "kpi/ok" / f"{row[3]}.png").write_bytes((sides.root / "kpi/ok/U0.png").read_bytes())
    sides.rows["kpi"].append(row)
    assert len(sides.compare().identical) == 1


def test_another_label_does_not_hide_an_image(sides: Sides) -> None:
    """B10: the label, and even its case, was part of the original's key."""
    sides.add("kpi", picture(1), label="open")
    assert len(sides.compare().identical) == 1


def test_the_same_pixels_in_another_file_are_the_same_image(sides: Sides) -> None:
    path = sides.add("kpi", picture(1))
    Image.fromarray(picture(1)).convert("RGB").save(path, compress_level=0)
    (overlap,) = sides.compare().identical
    assert overlap.kind == "same pixels"


def test_every_light_of_a_row_is_compared(sides: Sides, tmp_path: Path) -> None:
    layout = ImageLayout(("A", "B"), ".png")
    for name, seeds in (("one", (1, 2)), ("two", (3, 1))):
        for light, seed in zip("AB", seeds, strict=True):
            for folder in ("in", "ok"):
                target = tmp_path / name / folder / f"X_{light}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture(seed if folder == "in" else 50 + seed)).save(target)
    table = {"label": ["PASS"], "object_name": ["X"]}
    made = [
        Side.of_table(
            name,
            pd.DataFrame({"input_path": f"{name}/in", "golden_path": f"{name}/ok", **table}),
            tmp_path,
            layout,
        )
        for name in ("one", "two")
    ]
    (overlap,) = find_overlaps(made).identical
    assert overlap.first.path.endswith("X_A.png")
    assert overlap.second.path.endswith("X_B.png")


def test_all_sides_are_compared_two_by_two_or_only_with_one(sides: Sides) -> None:
    sides.add("validation", picture(0))
    sides.add("validation", picture(101))
    pairs = {(overlap.first.side, overlap.second.side) for overlap in sides.compare().identical}
    assert pairs == {("train", "validation"), ("kpi", "validation")}
    (only,) = sides.compare(against="train").identical
    assert only.first.side == "train"


def test_repeats_within_a_side_are_no_leak(sides: Sides) -> None:
    sides.add("train", picture(0))
    assert sides.compare().identical == []


def test_a_golden_on_two_sides_or_as_an_input_elsewhere_is_no_leak(sides: Sides) -> None:
    shared = picture(500)
    sides.add("train", picture(7), golden=shared)
    sides.add("kpi", picture(8), golden=shared)
    sides.add("kpi", picture(9), golden=picture(0))
    assert sides.compare().identical == []


# --- trivial repeats


def test_crops_that_equal_their_own_golden_repeat_legitimately_and_are_counted(sides: Sides) -> None:
    for name in ("train", "kpi", "kpi"):
        sides.add(name, picture(30), golden=picture(30))
    report = sides.compare()
    assert (len(report.identical), len(report.trivial)) == (0, 2)
    assert report.sentences()[0].startswith("2 crop(s) equal to their own golden")
    assert_disjoint(report)


@pytest.mark.parametrize("goldens", [(30, 31), (31, 30), (31, 32)])
def test_a_crop_that_differs_from_its_golden_on_one_side_is_a_leak(
    sides: Sides, goldens: tuple[int, int]
) -> None:
    for name, golden in zip(("train", "kpi"), goldens, strict=True):
        sides.add(name, picture(30), golden=picture(golden))
    assert len(sides.compare().identical) == 1


def test_crops_of_one_colour_repeat_legitimately_whatever_their_golden(sides: Sides) -> None:
    blank = np.full((48, 48), 200, np.uint8)
    sides.add("train", blank, golden=blank)
    sides.add("kpi", blank, label="open")
    report = sides.compare()
    assert (len(report.identical), len(report.trivial), len(report.lossy)) == (0, 1, 0)


# --- lossy copies


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_a_recompressed_copy_is_reported_and_stops_nothing(sides: Sides, quality: int) -> None:
    path = sides.add("kpi", picture(2))
    Image.open(sides.root / "train/in/U2.png").save(path, "JPEG", quality=quality)
    report = sides.compare()
    (overlap,) = report.lossy
    assert (overlap.first.row, overlap.second.row) == (4, 5)
    assert overlap.error < 12
    assert_disjoint(report)


def test_a_resized_copy_is_reported(sides: Sides) -> None:
    small = Image.fromarray(picture(2)).resize((36, 36))
    sides.add("kpi", np.asarray(small.resize((48, 48))))
    assert len(sides.compare().lossy) == 1


def test_a_small_defect_is_no_lossy_copy_of_the_good_part(sides: Sides) -> None:
    with_defect = picture(2).copy()
    with_defect[20:26, 20:26] = 255
    sides.add("kpi", with_defect, label="spur")
    assert sides.compare().lossy == []


@pytest.mark.parametrize("label", ["solder_bridge", "PASS", "missing"])
@pytest.mark.parametrize("copy", ["one level of one pixel", "JPEG at 95"])
def test_a_copy_under_another_label_is_reported(sides: Sides, label: str, copy: str) -> None:
    pixels = picture(2).copy()
    pixels[0, 0] ^= 1
    path = sides.add("kpi", pixels, label=label)
    if copy.startswith("JPEG"):
        Image.fromarray(pixels).save(path, "JPEG", quality=95)
    report = sides.compare()
    assert [overlap.second.row for overlap in report.lossy] == [5]
    kind = "likely lossy copy" if label == "PASS" else "likely copy under another label"
    assert report.lossy[0].kind == kind
    assert_disjoint(report)


@pytest.mark.parametrize("size", [2, 4, 6])
def test_a_defect_of_a_few_pixels_is_no_copy_of_the_good_part(sides: Sides, size: int) -> None:
    with_defect = picture(2).copy()
    with_defect[20 : 20 + size, 20 : 20 + size] = 255 - with_defect[20 : 20 + size, 20 : 20 + size]
    sides.add("kpi", with_defect, label="spur")
    assert sides.compare().lossy == []


def test_an_unreadable_image_is_refused_by_name(sides: Sides) -> None:
    (sides.root / "kpi/in/U1.png").write_bytes(b"no image")
    with pytest.raises(InputRefused, match=r"kpi/in/U1\.png"):
        sides.compare()
    (sides.root / "kpi/in/U1.png").unlink()
    with pytest.raises(InputRefused, match="does not exist"):
        sides.compare()


def test_the_record_is_json_and_names_the_first_overlaps(sides: Sides) -> None:
    for seed in range(3):
        sides.add("kpi", picture(seed))
    record = sides.compare().record()
    assert json.loads(json.dumps(record)) == record
    assert (record["identical_count"], record["images"]) == (3, 9)


@pytest.mark.slow
def test_four_thousand_pictures_are_compared(tmp_path: Path) -> None:
    made = Sides(tmp_path)
    for n in range(2000):
        made.add("train", picture(n), golden=picture(1))
        made.add("kpi", picture(5000 + n), golden=picture(1))
    made.add("kpi", picture(77), golden=picture(1))
    report = made.compare()
    assert (report.images, [overlap.second.row for overlap in report.identical]) == (4001, [2002])
