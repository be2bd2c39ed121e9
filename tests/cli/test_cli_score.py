"""Scoring in production, as a shell calls it."""

from __future__ import annotations

import shutil

import pytest

from deft import files
from deft.workspace.layout import RunFolder
from stub_platform import StubPlatform
from verb_fixtures import tree


@pytest.fixture
def model(finished, monkeypatch):
    stub = StubPlatform()
    monkeypatch.setattr("deft.score.platform_named", lambda name, settings=None: stub)
    return finished.best_model


def test_a_table_is_scored_and_judged_beside_the_runs_own_files(finished, model, tmp_path, say):
    workspace = finished.workspace
    before = tree(workspace.root)
    output = tmp_path / "scores.csv"
    words = ("--model", model, "--images-dir", workspace.images, "--output", output)
    said = say("score", workspace.kpi_table, *words)
    assert said.code == 0
    table = files.read_csv(output, required=("siamese_score", "verdict"))
    assert said.record["rows"] == len(table) == 45
    assert said.record["rejected"] == (table["verdict"] == "NO_PASS").sum()
    assert tree(workspace.root) == before


def test_without_an_image_root_a_tables_own_folder_is_meant(finished, model, tmp_path, say):
    table = shutil.copy(finished.workspace.kpi_table, tmp_path)
    said = say("score", table, "--model", model, "--output", tmp_path / "scores.csv")
    assert said.code == 3
    listed = said.record["error"]["value"]
    assert listed.startswith(f"row 2: {tmp_path}"[:60])
    assert listed.endswith("kpi/board2/C2_SolderLight.png; ...")
    assert not (tmp_path / "scores.csv").exists()


def test_a_folder_of_images_is_scored_against_its_goldens(finished, model, tmp_path, say):
    workspace = finished.workspace
    words = ("--goldens", workspace.original_images, "--model", model, "--output", tmp_path / "scores.csv")
    assert say("score", workspace.reconstructed_images, *words).record["rows"] == 6


def test_a_folder_without_goldens_is_a_usage_error(finished, model, tmp_path, say):
    said = say("score", finished.workspace.reconstructed_images, "--model", model)
    assert (said.code, said.record["error"]["hint"]) == (2, "add --goldens FOLDER")


def test_a_model_that_is_not_there_is_refused(finished, tmp_path, say):
    said = say("score", finished.workspace.kpi_table, "--model", tmp_path / "best_model.json")
    assert said.code == 3
    assert "best_model.json" in said.err


@pytest.mark.parametrize("content", ["{}", "[]", "a,b\n1,2\n"])
def test_a_file_that_is_no_model_is_an_input_that_is_refused(finished, tmp_path, say, content):
    wrong = files.write_text(tmp_path / "labels.csv", content)
    said = say("score", finished.workspace.kpi_table, "--model", wrong)
    assert (said.code, said.record["error"]["value"]) == (3, str(wrong))
    assert "best_model.json" in said.record["error"]["hint"]


def test_a_person_reads_what_could_not_be_checked(finished, model, tmp_path, say, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    record = files.read_json(model)
    del record["checkpoint_sha256"]
    shutil.copy(finished.inference_spec, tmp_path)
    bare = files.write_json(tmp_path / "best_model.json", record)
    workspace = finished.workspace
    words = ("--model", bare, "--images-dir", workspace.images, "--output", tmp_path / "scores.csv")
    lines = say("score", workspace.kpi_table, *words).out.splitlines()
    assert lines[-1] == "note: best_model.json lacks checkpoint_sha256: the checkpoint was not verified"


def test_a_person_reads_the_verdicts_and_the_warning(finished, model, tmp_path, say, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    warned = {"distance": 0.4, "warning": "scores have drifted", "rows": 60}
    monkeypatch.setattr("deft.score.drift", lambda scores, record: warned)
    workspace = finished.workspace
    output = tmp_path / "scores.csv"
    words = ("--model", model, "--images-dir", workspace.images, "--output", output)
    lines = say("score", workspace.kpi_table, *words).out.splitlines()
    threshold = files.read_json(RunFolder(model.parent).best_model)["threshold"]
    assert lines[0].endswith(f" of 45 rejected at {threshold!r}")
    assert lines[1:] == [f"scores and verdicts: {output}", "warning: scores have drifted"]
