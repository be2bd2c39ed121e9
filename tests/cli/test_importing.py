"""`deft import`: flags reach the importer, the answer names the next command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deft.cli.main import main
from deft.workspace.importers.folders import Pregenerated
from deft.workspace.importers.folders_source import Columns
from deft.workspace.layout import Workspace
from deft.workspace.rows import read_table
from tiny_workspace import make_workspace


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_answer_counts_the_rows_of_every_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "deft.workspace.importers.deeppcb.import_deeppcb",
        lambda source, workspace, **_: make_workspace(workspace),
    )
    assert main(["import", "deeppcb", "src", "made"]) == 0
    sets = json.loads(capsys.readouterr().out)["sets"]
    made = Workspace.at(Path("made"))
    assert list(sets) == ["train", "validation", "kpi", "holdout", "mining pool"]
    labels = read_table(made.kpi_table)["label"]
    assert sets["kpi"] == {"pass": (labels == "PASS").sum(), "defect": (labels != "PASS").sum()}
    assert sum(sets["mining pool"].values()) == len(read_table(made.mining_pool_table))


def test_the_flags_of_deeppcb_reach_the_importer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a b").mkdir()
    called: dict[str, Any] = {}
    monkeypatch.setattr(
        "deft.workspace.importers.deeppcb.import_deeppcb",
        lambda source, workspace, **options: called.update(source=source, workspace=workspace, **options),
    )
    words = ["import", "deeppcb", "src", "a b", "--realistic", "--seed", "7", "--kpi-group", "12000"]
    assert main([*words, "--pool-defect-share", "0.03"]) == 0
    assert json.loads(capsys.readouterr().out)["next"] == "deft preflight 'a b'"
    called.pop("progress")
    assert called == {
        "source": Path("src"),
        "workspace": Path("a b"),
        "realistic": True,
        "seed": 7,
        "kpi_groups": ("12000",),
        "holdout_groups": ("50600",),
        "pool_defect_share": 0.03,
    }


def test_a_source_that_is_not_there_is_refused_and_leaves_no_workspace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "deeppcb", str(tmp_path / "gone"), str(tmp_path / "made")]) == 3
    assert "gone" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_an_unknown_format_is_a_usage_error() -> None:
    assert main(["import", "mystery", "a", "b"]) == 2


GIVEN = ["--golden-dir", "g", "--test-dir", "t", "--labels", "l.csv"]


def test_the_flags_of_folders_reach_the_importer(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("made").mkdir()
    called: list[tuple[tuple[Path, ...], dict[str, Any]]] = []
    monkeypatch.setattr(
        "deft.workspace.importers.folders.import_folders",
        lambda *places, **options: called.append((places, options)),
    )
    words = ["--board-column", "panel", "--light", "white", "--light", "blue", "--kpi-share", "0.4"]
    more = ["--reconstructed-dir", "r", "--original-dir", "o", "--pass-label", "OK", "--seed", "3"]
    assert main(["import", "folders", "made", *GIVEN, *words, *more]) == 0
    ((places, options),) = called
    assert places == (Path("g"), Path("t"), Path("l.csv"), Path("made"))
    assert options["columns"] == Columns(image="image", label="label", board="panel", defect=None)
    assert options["shares"] == {"train": 0.15, "validation": 0.15, "kpi": 0.4, "holdout": 0.15}
    assert options["pregenerated"] == Pregenerated(Path("r"), Path("o"))
    assert (options["lights"], options["pass_label"], options["seed"]) == (("white", "blue"), "OK", 3)


@pytest.mark.parametrize("words", [["--train-share", "nan"], ["--holdout-share", "nan"], ["--seed", "-1"]])
def test_a_number_that_splits_nothing_is_a_usage_error(tmp_path: Path, words: list[str]) -> None:
    assert main(["import", "folders", "made", *GIVEN, *words]) == 2
    assert not (tmp_path / "made").exists()


def test_a_seed_below_nothing_is_a_usage_error_for_deeppcb_too(tmp_path: Path) -> None:
    assert main(["import", "deeppcb", "src", "made", "--seed", "-1"]) == 2
    assert not (tmp_path / "made").exists()


def test_one_folder_of_a_pair_is_a_usage_error(tmp_path: Path) -> None:
    assert main(["import", "folders", str(tmp_path / "made"), *GIVEN, "--original-dir", "o"]) == 2
    assert not (tmp_path / "made").exists()
