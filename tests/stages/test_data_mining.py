"""Mining leaves evidence: every neighbour with its fate, counts that add up, events not to be missed."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from deft import files
from deft.embedding.selection import Selection
from deft.stages.base import StageContext
from deft.stages.data_mining import embedding_spec, filter_events, mining_events


def test_counts_add_up_and_every_mined_row_is_in_the_evidence(finished):
    folder = finished.phase("iter1").mining_filter
    summary = files.read_csv(folder / "knn_summary.csv").iloc[0]
    neighbours, mined = (pd.read_parquet(folder / f"{name}.parquet") for name in ("neighbours", "mined"))
    assert int(summary["candidate_count"]) == int(summary["kept_count"]) + int(summary["rejected_count"])
    assert set(neighbours.loc[neighbours["kept"], "source_filepath"]) == set(mined["filepath"])
    assert (neighbours.loc[~neighbours["kept"], "reason"] != "").all()


def test_one_spec_drives_both_embeddings_and_names_the_incumbents_checkpoint(finished, state):
    spec = files.read_yaml(finished.phase("iter1").mining_filter / "embedding_spec.yaml")
    assert spec["model"] == "deft_pair"
    assert spec["model_path"] == state["iterations"]["baseline"]["best_ckpt_path"]


def test_the_pair_encoder_reads_the_incumbents_checkpoint_whatever_path_a_plan_names():
    plan = {"settings": {"encoder": {"value": "deft_pair"}, "encoder_path": {"value": "/other.pth"}}}
    state = {"incumbent": "baseline", "iterations": {"baseline": {"best_ckpt_path": "/best.pth"}}}
    assert embedding_spec(StageContext(None, plan, state, None, None, None))["model_path"] == "/best.pth"


@pytest.mark.parametrize(
    ("platform", "trained_in", "embedded_in"),
    [
        ("embedded", "bf16-mixed", "bf16"),
        ("embedded", "32-true", None),
        ("docker", "bf16-mixed", None),
    ],
)
def test_siglip_is_embedded_in_the_plans_precision_where_the_tool_knows_the_key(
    platform, trained_in, embedded_in
):
    settings = {"encoder": "SigLIP", "encoder_path": "google/siglip", "precision": trained_in}
    plan = {"settings": {name: {"value": value} for name, value in settings.items()}}
    context = StageContext(None, plan, {}, None, SimpleNamespace(name=platform), None)
    assert embedding_spec(context).get("precision") == embedded_in


def test_synthetic_rows_pass_the_same_search_and_stay_within_their_share(finished):
    mined = files.read_csv(finished.phase("iter1").mining_filter / "mining_pool.csv")
    synthetic = (mined["provenance"] == "sdg").sum()
    assert 0 < synthetic <= 0.5 * len(mined)


def test_a_yield_that_fell_by_half_and_labels_without_candidates_are_events(finished, state):
    state["iterations"]["iter1"]["mining_mined_count"] = 30
    context = StageContext(finished, {}, state, finished.phase("iter2"), None, None)
    events = mining_events(context, Selection(pd.DataFrame(), [], None, ("defect",)), 5)
    assert events == ("pool holds no candidate for defect targets", "mining yield fell from 30 to 5 rows")
    assert mining_events(context, Selection(pd.DataFrame(), [], None, ()), 16) == ()


def test_what_filters_leave_out_and_labels_without_a_row_are_events():
    routed = pd.DataFrame({"label": ["PASS", "bridge", "shift"]})
    fates = [
        ("t1", "a", True, ""),
        ("t1", "b", False, "below similarity cut"),
        ("t2", "a", False, "kept for a nearer target"),
        ("t2", "c", False, "over the synthetic share"),
    ]
    neighbours = pd.DataFrame(fates, columns=["target_filepath", "source_filepath", "kept", "reason"])
    assert filter_events(routed, neighbours, pd.DataFrame({"label": ["PASS"]})) == (
        "mined for 2 of 3 weak components",
        "no row was mined that is labelled bridge",
        "no row was mined that is labelled shift",
        "1 pool rows left out: below similarity cut",
        "1 pool rows left out: over the synthetic share",
    )
    everything = pd.DataFrame({"label": ["PASS", "bridge", "shift"]})
    kept = neighbours.assign(kept=True, reason="")
    assert filter_events(routed.head(2), kept, everything) == ()
