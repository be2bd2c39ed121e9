"""Schemas: each is valid itself, accepts what the package writes, and names the path of what it refuses."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from deft import files
from deft.errors import Corruption
from deft.guard import approval
from deft.loop import run_loop
from deft.run.log import read
from deft.schemas import NAMES, schema, validate
from loop_fixtures import SILENT, new_run

GOLDEN = Path(__file__).parents[1] / "run" / "golden"
SHA = "a" * 64
POINT = {
    "threshold": 0.5,
    "far": 0.041,
    "recall": 1.0,
    "precision": 0.2,
    "f1": 0.3,
    "false_alarms": 4,
    "missed": 0,
}


def signed_approval(tmp_path: Path) -> dict[str, Any]:
    plan = {"run_id": "run_20260102_030405", "workspace": str(tmp_path)}
    return approval.decide(plan, "approved", "user-words", "s-1")


def examples(tmp_path: Path) -> dict[str, Any]:
    entries = read(GOLDEN / "loop_log.jsonl")
    return {
        "state": json.loads((GOLDEN / "deft_state.json").read_text()),
        "log_entry": entries[2],
        "plan": json.loads((GOLDEN / "plan.json").read_text()),
        "approval": signed_approval(tmp_path),
        "manifest": {
            "stage": "train",
            "phase": "iter1",
            "attempt": 1,
            "key": SHA,
            "seconds": 1.5,
            "outcome": {"summary": "x", "values": {}, "events": []},
            "files": [{"path": "a/b.parquet", "sha256": SHA, "size": 3, "rows": 2}],
        },
        "verdicts": {
            "looked": True,
            "samples": [{"number": 1, "component_id": "b/U1", "label": "PASS", "verdict": "mislabeled"}],
            "proposed_corrections": [{"component_id": "b/U1", "label": "PASS"}],
        },
        "handoff": {
            "checkpoint": "/x/m.pth",
            "threshold": 0.25,
            "far_pct": 0.05,
            "iteration": "iter1",
            "backbone": "deft_mid_fusion",
            "images_dir": "/x/kpi/images",
            "training_spec": "/x/spec.yaml",
        },
        "kpi": {
            "rows": 10,
            "pass_rows": 8,
            "defect_rows": 2,
            "far_at_100": {**POINT, "deciding_defect": {"row": 3}},
            "far_at_99_5": POINT,
            "far_at_99": {**POINT, "threshold": None},
            "mean_far_98_100": 0.1,
            "auroc": 0.9,
            "missed_bound": {"missed": 0, "defect_rows": 2, "bound": 0.7, "confidence": 0.95},
            "per_label": {"bridge": {"rows": 2}},
            "intervals": {"auroc": [0.8, 1.0]},
        },
    }


@pytest.mark.parametrize("name", NAMES)
def test_each_schema_is_itself_valid_and_described(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    assert schema(name)["$schema"].endswith("2020-12/schema")
    assert schema(name)["title"]
    assert schema(name)["description"]


def test_every_schema_file_has_a_name_and_an_example(tmp_path: Path) -> None:
    folder = Path(str(__import__("deft.schemas", fromlist=["x"]).__file__)).parent
    assert sorted(path.stem for path in folder.glob("*.json")) == sorted(NAMES) == sorted(examples(tmp_path))


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_record_passes(name: str, tmp_path: Path) -> None:
    validate(examples(tmp_path)[name], name)


def test_every_line_of_the_golden_log_passes() -> None:
    for entry in read(GOLDEN / "loop_log.jsonl"):
        validate(entry, "log_entry")


BREAKS = [
    ("state", ["version"], 2, r"\$\.version"),
    ("state", ["iterations", "baseline", "status"], "done", r"\$\.iterations\.baseline\.status"),
    ("state", ["baseline"], {}, "baseline"),
    ("state", ["iterations", "iter1", "mining_mined_count"], -1, r"mining_mined_count"),
    ("log_entry", ["seq"], 0, r"\$\.seq"),
    ("log_entry", ["ts"], "2026-01-02 03:04:05", r"\$\.ts"),
    ("log_entry", ["iter"], "banana", r"\$\.iter"),
    ("log_entry", ["stage"], "cook", r"\$\.stage"),
    ("log_entry", ["duration_sec"], -1, r"\$\.duration_sec"),
    ("log_entry", ["duration_sec"], 1.5, r"\$\.duration_sec"),
    ("log_entry", ["extra"], 1, "extra"),
    ("log_entry", ["evidence", 0, "sha256"], "A" * 64, r"\$\.evidence\[0\]\.sha256"),
    ("plan", ["settings", "max_iterations", "value"], -3, r"\$\.settings\.max_iterations\.value"),
    ("plan", ["settings", "batch_size", "value"], 0, r"\$\.settings\.batch_size\.value"),
    ("plan", ["run_id"], "../run", r"\$\.run_id"),
    ("plan", ["workspace"], "relative", r"\$\.workspace"),
    ("plan", ["inputs", "x"], "md5", r"\$\.inputs\.x"),
    ("approval", ["decision"], "maybe", r"\$\.decision"),
    ("approval", ["by"], "agent", r"\$\.by"),
    ("approval", ["note"], "x", "note"),
    ("manifest", ["files", 0, "size"], -1, r"\$\.files\[0\]\.size"),
    ("verdicts", ["samples", 0, "verdict"], "fine", r"\$\.samples\[0\]\.verdict"),
    ("verdicts", ["looked"], False, "verdicts record"),
    ("handoff", ["threshold"], None, r"\$\.threshold"),
    ("handoff", ["far_pct"], None, r"\$\.far_pct"),
    ("kpi", ["far_at_100", "far"], 4.1, r"\$\.far_at_100\.far"),
    ("kpi", ["auroc"], 1.5, r"\$\.auroc"),
]


@pytest.mark.parametrize(("name", "where", "value", "named"), BREAKS)
def test_a_broken_record_is_corruption_and_the_place_is_named(
    name: str, where: list[Any], value: Any, named: str, tmp_path: Path
) -> None:
    record = copy.deepcopy(examples(tmp_path)[name])
    place = record
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    with pytest.raises(Corruption, match=named):
        validate(record, name)


@pytest.mark.parametrize("name", NAMES)
def test_each_required_field_is_required(name: str, tmp_path: Path) -> None:
    for field in schema(name)["required"]:
        record = {key: value for key, value in examples(tmp_path)[name].items() if key != field}
        with pytest.raises(Corruption, match=field):
            validate(record, name)


def test_a_spot_check_that_nobody_did_holds_no_verdict() -> None:
    sample = {"number": 1, "component_id": "b/U1", "label": "PASS"}
    validate({"looked": False, "samples": [sample], "proposed_corrections": []}, "verdicts")
    with pytest.raises(Corruption):
        validate({"looked": True, "samples": [sample], "proposed_corrections": []}, "verdicts")


# --- a whole run -------------------------------------------------------------------------------------


def test_every_record_that_a_whole_run_leaves_satisfies_its_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = new_run(tmp_path, monkeypatch, max_iterations=1)
    run_loop(run, SILENT)
    records = {
        "plan": [run.plan],
        "approval": [run.approval],
        "state": [run.state],
        "handoff": [run.best_model],
        "verdicts": sorted(run.root.rglob("verdicts.json")),
        "kpi": sorted(run.root.rglob("kpi.json")),
        "manifest": sorted(run.root.glob("*/**/manifest.json")),
    }
    for name, paths in records.items():
        assert paths, name
        for path in paths:
            if path.parent.name != "synth_pool":
                validate(files.read_json(path), name)
    for entry in read(run.log):
        validate(entry, "log_entry")
