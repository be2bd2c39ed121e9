"""The doorways to tables and pairs, with the original's flags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from deft import files
from deft.cli.main import main
from deft.platforms.embedded import EmbeddedPlatform


def draw(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", (16, 16), (shade, shade, shade))
    picture.putpixel((shade % 16, shade // 16), (255, 0, 0))
    picture.save(path)


def table(path: Path, names: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["input_path,golden_path,label,object_name", *(f"b1,g1,PASS,{name}" for name in names)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a workspace without lights: names end in .png, as its own spec says."""
    for number, name in enumerate(("U1", "U2", "U3")):
        draw(tmp_path / "kpi/images/b1" / f"{name}.png", 10 + number)
        draw(tmp_path / "kpi/images/g1" / f"{name}.png", 100 + number)
    spec = {"dataset": {"classify": {"input_map": None, "image_ext": ".png"}}}
    files.write_yaml(tmp_path / "specs/baseline_spec.yaml", spec)
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def validate(root: Path, *more: str) -> list[str]:
    train = table(root / "train/base/training_set.csv", ["U1", "U2"])
    return ["validate-csv", "--csv", str(train), "--workspace-root", str(root), *more]


def test_a_sound_table_is_told_with_its_rows(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held_out = table(root / "train/base/validation_set.csv", ["U3"])
    assert main(validate(root, "--validation-csv", str(held_out))) == 0
    record = answer(capsys)
    assert (record["rows_checked"], record["train_val_leakage_overlap_count"]) == (2, 0)


def test_an_image_on_both_sides_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held_out = table(root / "train/base/validation_set.csv", ["U2"])
    assert main(validate(root, "--validation-csv", str(held_out))) == 3
    assert "U2" in capsys.readouterr().err


def test_a_light_that_was_named_is_looked_for(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(validate(root, "--light", "WhiteLight")) == 3
    assert "U2_WhiteLight.png" in capsys.readouterr().err


def test_without_a_spec_the_original_names_hold(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "specs/baseline_spec.yaml").unlink()
    assert main(validate(root)) == 3
    assert "U2_SolderLight.jpg" in capsys.readouterr().err


@pytest.fixture
def pregen(root: Path) -> Path:
    draw(root / "augmentation/anomalygen/reconstructed_image/PCB+bridge_0.png", 30)
    draw(root / "augmentation/anomalygen/original_image/PCB+bridge_0.png", 130)
    draw(root / "augmentation/mining_pool/images/p1/U9.png", 50)
    draw(root / "augmentation/mining_pool/images/q1/U9.png", 150)
    pool = "input_path,golden_path,label,object_name\nimages/p1,images/q1,PASS,U9\n"
    (root / "augmentation/mining_pool/mining_pool.csv").write_text(pool, encoding="utf-8")
    return root


def prestage(root: Path, *more: str) -> list[str]:
    return ["prestage-pregen", "--workspace", str(root), "--results-dir", str(root / "out"), *more]


def test_a_pool_is_built_once_and_says_that_no_plan_guards_it(
    pregen: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(prestage(pregen)) == 0
    printed = capsys.readouterr()
    assert "no plan guards" in printed.err
    assert json.loads(printed.out)
    assert (pregen / "out/synth_pool/source_pool.csv").is_file()
    assert main(prestage(pregen)) == 4
    assert main(prestage(pregen, "--force")) == 0


PLAN = {
    "kind": "loop",
    "created_at": "2026-01-02T03:04:05Z",
    "target": {"text": "FAR<0.1%@recall=100%", "normal_form": "FAR < 0.1% at recall >= 100%"},
    "platform": "embedded",
    "settings": {"max_iterations": {"value": 1, "source": "default"}},
    "inputs": {},
}


def test_a_plan_that_nobody_approved_keeps_the_pool_from_being_built(pregen: Path) -> None:
    run = pregen / "results/run_20260102_030405"
    files.write_json(run / "plan.json", {**PLAN, "run_id": run.name, "workspace": str(pregen)})
    words = ["prestage-pregen", "--workspace", str(pregen), "--results-dir", str(run)]
    assert main(words) == 4
    assert not (run / "synth_pool").exists()


def test_the_pool_is_embedded_by_a_tool_call_on_this_machine(
    pregen: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(
        EmbeddedPlatform,
        "run",
        lambda self, calls, progress: asked.extend(call.arguments() for call in calls),
    )
    assert (
        main(prestage(pregen, "--embed-with-siglip", "--ds-image", "registry/ds:1", "--siglip-model", "m"))
        == 0
    )
    assert "registry/ds:1 is not started" in capsys.readouterr().err
    ((category, action, *overrides),) = asked
    assert (category, action) == ("embedding", "image_embeddings")
    assert "model=SigLIP" in overrides
    assert f"output_parquet={pregen}/out/synth_pool/source_embeddings.parquet" in overrides


def pair(root: Path, *more: str) -> list[str]:
    folder = root / "augmentation/anomalygen"
    given = [
        "--input-dir",
        str(folder / "reconstructed_image"),
        "--golden-dir",
        str(folder / "original_image"),
    ]
    return ["changenet-data-pair-prepare", *given, "--output", str(root / "pairs.csv"), *more]


def test_pairs_become_a_table_with_the_stem_s_defect_type(
    pregen: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(pair(pregen, "--images-dir", str(pregen / "staged"), "--light", "")) == 0
    assert answer(capsys)["paired_count"] == 1
    assert "bridge" in (pregen / "pairs.csv").read_text()
    assert (pregen / "staged/sdg_ng/PCB+bridge_0.jpg").is_file()


def test_a_folder_as_the_table_of_pairs_is_refused_before_anything_is_staged(
    pregen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, staged = tmp_path / "out", tmp_path / "staged"
    folder.mkdir()
    assert main(pair(pregen, "--output", str(folder), "--images-dir", str(staged))) == 3
    error = answer(capsys)["error"]
    assert (error["fact"], error["value"]) == ("expected a file, found a folder", str(folder))
    assert error["hint"] == f"--output {folder}/sdg_pairs.csv"
    assert not staged.exists()


def test_an_unpaired_stem_is_refused(pregen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(pregen / "augmentation/anomalygen/reconstructed_image/lonely.png", 60)
    assert main(pair(pregen)) == 3
    assert "lonely" in capsys.readouterr().err
    assert not (pregen / "pairs.csv").exists()
