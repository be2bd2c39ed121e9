"""The source pool is built once a run and accounted for in every iteration."""

from __future__ import annotations

from deft import files


def test_the_pool_is_built_once_and_each_iteration_names_the_same_digest(finished):
    records = [files.read_json(finished.phase(f"iter{n}").anomalygen / "ingest_summary.json") for n in (1, 2)]
    manifest = files.read_json(finished.synth_pool.manifest)
    assert {record["digest"] for record in records} == {manifest["digest"]}
    assert (records[0]["real_rows"], records[0]["sdg_rows"]) == (54, 6)


def test_a_pool_half_built_by_a_killed_run_leaves_no_trace(finished):
    assert not finished.synth_pool.root.with_name("synth_pool.attempt").exists()
