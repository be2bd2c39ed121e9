"""The Pre-Flight Summary: what a person reads before saying yes."""

from __future__ import annotations

import pytest

from deft.platforms.base import Check
from deft.preflight.plan import make_plan
from deft.preflight.summary import summary
from loop_fixtures import use_stub
from tiny_workspace import make_workspace

GIVEN = {"max_iterations": 2, "threads": 1, "min_similarity": "0.7", "num_epochs": 4}


@pytest.fixture
def planned(tmp_path, monkeypatch):
    use_stub(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    return make_plan(workspace, target="FAR<0.1%@recall=100%", platform="embedded", given=GIVEN)


def rows(text: str, title: str) -> list[list[str]]:
    """Return the cells of the table under a title, without its head."""
    table = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_setting_stands_with_its_value_and_its_source(planned):
    plan, inspection, checks = planned
    config = {
        name: (value, source) for name, value, source in rows(summary(plan, inspection, checks), "Run config")
    }
    assert config["KPI target"] == ("FAR < 0.1% at recall >= 100%", "user")
    assert config["platform"] == ("embedded", "default")
    assert config["training epochs"] == ("4", "user")
    assert config["similarity cut (cosine)"] == ("0.7", "user")
    assert config["top k per target"] == ("5", "default")
    assert config["seed"] == ("1", "spec")
    assert config["spot check"] == ("yes", "default")
    assert config["promoted if better by"][0].startswith("the target's figure, then FAR at 99.5 % recall")
    shown = len(config) - 4  # workspace, target, promotion and platform are no settings
    assert shown == len(plan["settings"]) - 1  # the pair encoder has no path
    assert "encoder path" not in config


def config_of(plan, inspection, checks) -> dict[str, list[str]]:
    return {row[0]: row[1:] for row in rows(summary(plan, inspection, checks), "Run config")}


def test_the_path_of_an_encoder_is_shown_because_its_weights_decide_what_is_mined(planned):
    planned[0]["settings"]["encoder_path"] = {"value": "google/siglip-base-patch16-224", "source": "default"}
    assert config_of(*planned)["encoder path"] == ["google/siglip-base-patch16-224", "default"]


def test_files_of_weights_that_the_approval_is_bound_to_are_shown_by_folder_with_their_hash(planned):
    found = {"/models/config.json": "a" * 64, "/models/m.pth": "b" * 64, "/models/adapter_config.json": None}
    planned[0]["inputs"].update(found)
    line = f"/models: config.json ({'a' * 12}), m.pth ({'b' * 12})"
    assert config_of(*planned)["model files"] == [line, "derived"]


def test_the_folders_whose_images_are_read_are_one_line_with_who_named_them(planned, tmp_path):
    _, inspection, _ = planned
    own = inspection.workspace.images
    assert config_of(*planned)["image roots"] == [str(own), "spec"]
    blocks = inspection.spec["dataset"]["classify"]
    other = tmp_path / "other"
    other.mkdir()
    blocks["infer_dataset"]["images_dir"] = str(other)
    assert config_of(*planned)["image roots"] == [f"{own}, {other}", "spec"]
    blocks["infer_dataset"]["images_dir"] = str(tmp_path / "gone")
    assert config_of(*planned)["image roots"] == [str(own), "derived"]


def test_a_setting_that_is_off_says_so(planned):
    plan, inspection, checks = planned
    plan["settings"]["min_similarity"]["value"] = None
    plan["settings"]["spot_check"]["value"] = False
    config = {row[0]: row[1] for row in rows(summary(plan, inspection, checks), "Run config")}
    assert (config["similarity cut (cosine)"], config["spot check"]) == ("off", "no")


def test_rows_of_every_set_and_of_the_pool_are_counted(planned):
    text = summary(*planned)
    assert rows(text, "Dataset") == [
        ["train", "24", "2"],
        ["validation", "20", "9"],
        ["kpi", "30", "15"],
        ["holdout", "20", "9"],
    ]
    assert sorted(rows(text, "Augmentation")) == [
        ["mining pool, PASS", "30"],
        ["mining pool, bridge", "8"],
        ["mining pool, missing", "8"],
        ["mining pool, shift", "8"],
        ["pre-generated NG/OK pairs", "6"],
    ]


def test_what_is_missing_is_marked_and_its_cure_follows(planned):
    plan, inspection, _ = planned
    checks = [Check("docker", False, "not found", "install docker"), Check("GPU", True, "one")]
    text = summary(plan, inspection, checks)
    assert rows(text, "Platform")[:2] == [["docker", "MISSING", "not found"], ["GPU", "ok", "one"]]
    assert "## Mend first\n\n- docker: install docker" in text
    assert "Mend first" not in summary(plan, inspection, checks[1:])


def test_versions_are_shown_as_they_are_planned(planned):
    plan, inspection, checks = planned
    shown = {row[0]: row[2] for row in rows(summary(plan, inspection, checks), "Platform")}
    assert plan["versions"].items() <= shown.items()


def test_what_the_numbers_can_prove_stands_before_the_yes(planned):
    text = summary(*planned)
    assert "30 PASS rows can never prove FAR < 0.1 %: about 3,000 with no false alarm are needed." in text
    assert "15 defects bound the miss rate at 18 %" in text


@pytest.mark.parametrize(
    ("disk_bytes", "told"),
    [
        (1_540_000_000, "Cost: about 1.5 GB on disk, 80 checkpoints. Time is not estimated."),
        (12_300_000, "Cost: about 12 MB on disk, 80 checkpoints. Time is not estimated."),
        (100, "Cost: about 1 MB on disk, 80 checkpoints. Time is not estimated."),
    ],
)
def test_the_cost_is_the_last_line(planned, disk_bytes, told):
    plan, inspection, checks = planned
    plan["estimate"] = {"checkpoints": 80, "disk_bytes": disk_bytes}
    assert summary(plan, inspection, checks).splitlines()[-1] == told


def test_a_cost_that_is_not_known_is_not_made_up(planned):
    plan, inspection, checks = planned
    plan["estimate"] = {"checkpoints": 80}
    last = summary(plan, inspection, checks).splitlines()[-1]
    assert last.startswith("Cost on disk: 80 checkpoints of a backbone whose size is not known")


def test_the_columns_of_every_table_stand_under_each_other(planned):
    tables = [block.splitlines() for block in summary(*planned).split("\n\n") if block.startswith("|")]
    assert len(tables) == 4
    for table in tables:
        assert len({len(line) for line in table}) == 1
        assert set(table[1]) == {"|", "-"}
