"""Every recorded case of `embedding image_embeddings` (shared fixtures), but for the listed differences."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from deft.files import read_json, read_yaml
from deft.tools.__main__ import main

REPOSITORY = Path(__file__).resolve().parents[2]
FIXTURES = REPOSITORY.parent / "shared" / "fixtures" / "tao" / "embed"
CASES = sorted(path.name for path in FIXTURES.glob("[0-9]*"))
TOLERANCE = 1e-5
DUPLICATES = "duplicates-do-not-multiply"
DIFFERENT = {"008_duplicates_with_metadata": DUPLICATES}


def run_case(shared: Path, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Path]:
    source = shared / "fixtures" / "tao" / "embed"
    for sibling in ("images", "models"):
        (folder / sibling).symlink_to(source / sibling)
    shutil.copytree(source / name / "input", folder / name / "input")
    monkeypatch.chdir(folder / name)
    record = read_json(source / name / "args.json")
    return main([*record["command"].split(), *record["argv"]]), folder / name / "out" / "emb.parquet"


def vectors(table: Any) -> np.ndarray:
    return np.array(table["embedding"].to_pylist(), dtype=float)


@pytest.mark.skipif(not CASES, reason="../shared is absent")
@pytest.mark.parametrize("name", CASES)
def test_the_embedded_tool_answers_as_the_container_did(
    shared: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, output = run_case(shared, name, tmp_path, monkeypatch)
    case = shared / "fixtures" / "tao" / "embed" / name
    assert code == read_json(case / "expected.json")["returncode"]
    if code != 0:
        assert not output.exists()
    elif name not in DIFFERENT:
        assert_same_table(pq.read_table(output), pq.read_table(case / "expected" / "emb.parquet"))


def assert_same_table(found: Any, expected: Any) -> None:
    assert [(field.name, str(field.type)) for field in found.schema] == [
        (field.name, str(field.type)) for field in expected.schema
    ]
    others = [name for name in expected.column_names if name != "embedding"]
    assert found.select(others).to_pydict() == expected.select(others).to_pydict()
    if len(expected):
        np.testing.assert_allclose(vectors(found), vectors(expected), atol=TOLERANCE)


def test_duplicate_paths_keep_one_row_each_with_their_own_label(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "008_duplicates_with_metadata"
    _, output = run_case(shared, name, tmp_path, monkeypatch)
    given, found = pq.read_table(tmp_path / name / "input" / "in.parquet"), pq.read_table(output)
    assert found.select(["filepath", "label"]).to_pydict() == given.select(["filepath", "label"]).to_pydict()
    recorded = pq.read_table(shared / "fixtures" / "tao" / "embed" / name / "expected" / "emb.parquet")
    places = [recorded["filepath"].to_pylist().index(path) for path in given["filepath"].to_pylist()]
    np.testing.assert_allclose(vectors(found), vectors(recorded)[places], atol=TOLERANCE)


def test_every_difference_from_the_container_is_listed() -> None:
    listed = {entry["id"] for entry in read_yaml(REPOSITORY / "references" / "tao-differences.yaml")}
    assert set(DIFFERENT.values()) <= listed
