"""The manifest of a stage: every file with its hash, and the first that is no longer what it was."""

from __future__ import annotations

import pandas as pd
import pytest

from deft import files
from deft.errors import Corruption
from deft.run.manifests import MANIFEST, manifest_evidence, verify_manifest, write_manifest

RECORD = {"stage": "rca", "phase": "baseline", "attempt": 1, "key": "0" * 64}


@pytest.fixture
def folder(tmp_path):
    files.write_text(tmp_path / "inner" / "note.txt", "weights")
    files.write_parquet(tmp_path / "gaps.parquet", pd.DataFrame({"filepath": ["a", "b"]}))
    files.write_text(tmp_path / ".mark", "not content")
    write_manifest(tmp_path, RECORD, without=(".mark",))
    return tmp_path


def test_every_file_stands_with_hash_and_size_and_tables_with_their_rows(folder):
    listed = {entry["path"]: entry for entry in verify_manifest(folder)["files"]}
    assert set(listed) == {"inner/note.txt", "gaps.parquet"}
    assert listed["gaps.parquet"]["rows"] == 2
    assert listed["inner/note.txt"]["size"] == len("weights")
    assert listed["inner/note.txt"]["sha256"] == files.sha256_of_file(folder / "inner" / "note.txt")


def test_a_changed_file_is_corruption_that_names_it_and_both_hashes(folder):
    files.write_text(folder / "inner" / "note.txt", "others")
    with pytest.raises(Corruption, match=r"changed: .*note\.txt: recorded .*, found ") as caught:
        verify_manifest(folder)
    assert caught.value.hint


def test_a_file_that_is_gone_is_corruption_unless_it_was_removed_on_purpose(folder):
    gone = folder / "inner" / "note.txt"
    gone.unlink()
    with pytest.raises(Corruption, match="gone"):
        verify_manifest(folder)
    verify_manifest(folder, removed=frozenset({gone}))


def test_a_manifest_that_breaks_its_schema_is_neither_written_nor_believed(folder):
    with pytest.raises(Corruption, match="manifest"):
        write_manifest(folder, {**RECORD, "stage": "banana"})
    files.write_json(folder / MANIFEST, {"files": []})
    with pytest.raises(Corruption, match="manifest"):
        verify_manifest(folder)


def test_the_evidence_of_a_stage_is_the_hash_of_its_manifest(folder):
    found = manifest_evidence(folder, "baseline/rca_results/x")
    assert found["path"] == "baseline/rca_results/x/manifest.json"
    assert found["sha256"] == files.sha256_of_file(folder / MANIFEST)
