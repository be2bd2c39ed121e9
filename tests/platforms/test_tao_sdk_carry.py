"""The program that travels with a job: what it fetches, runs and brings back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deft.platforms.tao_sdk import carry


def order(tmp_path: Path, *calls: list[str], inputs: dict[str, str] | None = None) -> dict[str, Any]:
    """Return an order whose storage is a folder; `inputs` maps paths to contents that were sent."""
    storage = tmp_path / "storage"
    for name in ("job/files", "blobs"):
        (storage / name).mkdir(parents=True, exist_ok=True)
    tree = {}
    for path, content in (inputs or {}).items():
        digest = carry.hashlib.sha256(content.encode()).hexdigest()
        (storage / "blobs" / digest).write_text(content)
        tree[path] = digest
    (storage / "tree.json").write_text(json.dumps(tree))
    output = tmp_path / "output"
    logs = [{"words": words, "log": str(output / f"{number}.log")} for number, words in enumerate(calls)]
    place = {name: f"file://{storage}/{path}" for name, path in PLACES.items()}
    return {**place, "output": str(output), "calls": logs}


PLACES = {"job": "job", "tree": "tree.json", "blobs": "blobs"}


def result(tmp_path: Path) -> dict[str, Any]:
    return dict(json.loads((tmp_path / "storage/job/result.json").read_text()))


def test_inputs_are_written_where_they_were(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "rows.csv")
    assert carry.main(order(tmp_path, ["cat", path], inputs={path: "rows"})) == 0
    assert (tmp_path / "output/0.log").read_text() == "rows"


def test_an_input_that_is_not_what_was_sent_ends_the_job(tmp_path: Path) -> None:
    path = str(tmp_path / "rows.csv")
    wanted = order(tmp_path, ["true"], inputs={path: "rows"})
    (blob,) = (tmp_path / "storage/blobs").iterdir()
    blob.write_text("other rows")
    with pytest.raises(SystemExit, match="not what was sent"):
        carry.main(wanted)


def test_the_calls_end_with_the_first_that_fails_and_its_code_is_the_jobs(tmp_path: Path) -> None:
    assert carry.main(order(tmp_path, ["true"], ["sh", "-c", "exit 3"], ["true"])) == 3
    assert result(tmp_path)["codes"] == [0, 3]


def test_only_what_the_calls_wrote_comes_back_each_with_its_hash(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    (output / "spec.yaml").write_text("task: classify")
    carry.main(order(tmp_path, ["sh", "-c", f"echo weights > {output}/model.pth"]))
    assert set(result(tmp_path)["files"]) == {"0.log", "model.pth"}
    assert (tmp_path / "storage/job/files/model.pth").read_text() == "weights\n"


def test_a_withdrawn_order_does_nothing(tmp_path: Path) -> None:
    wanted = order(tmp_path, ["touch", str(tmp_path / "done")])
    (tmp_path / "storage/job/withdrawn").touch()
    assert carry.main(wanted) == 0
    assert not (tmp_path / "done").exists()
    assert not (tmp_path / "storage/job/result.json").exists()
