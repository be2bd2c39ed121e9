"""The router is a partition: nothing is dropped without a word."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from deft.stages.routing import left_to_generation, route, uncovered_labels

LABELS = st.lists(st.sampled_from(["PASS", "bridge", "missing", "shift "]), max_size=30)


@given(labels=LABELS, known=st.sets(st.sampled_from(["pass", "BRIDGE", "shift"])))
def test_the_parts_always_sum_to_the_input(labels, known):
    gaps = pd.DataFrame({"label": pd.Series(labels, dtype=str)})
    mining, anomalygen = route(gaps, known)
    assert sorted([*mining.index, *anomalygen.index]) == list(gaps.index)
    assert set(mining["label"].str.strip().str.upper()) <= {label.upper() for label in known}


def test_with_pre_generated_pairs_every_weak_sample_goes_to_mining():
    gaps = pd.DataFrame({"label": ["PASS", "bridge"]})
    mining, anomalygen = route(gaps, None)
    assert (len(mining), len(anomalygen)) == (2, 0)
    assert list(anomalygen.columns) == ["label"]


def test_a_defect_type_that_the_real_pool_lacks_is_named_before_mining():
    assert uncovered_labels(pd.Series(["PASS", "lifted", "shift"]), pd.Series(["PASS", "shift"])) == (
        "the real pool holds no example of lifted",
    )
    assert uncovered_labels(pd.Series(["PASS"]), pd.Series(["shift"])) == ()


def test_a_routed_row_carries_what_a_pair_encoder_needs(state):
    routed = pd.read_parquet(state["iterations"]["iter1"]["routing_mining_parquet"])
    assert {"input_path", "object_name", "golden_filepath", "component_id"} <= set(routed.columns)
    summary = Path(state["iterations"]["iter1"]["routing_mining_parquet"]).with_name("routing_summary.txt")
    assert summary.read_text().splitlines()[0] == f"Total weak samples: {len(routed)}"


def test_weak_samples_that_nobody_will_serve_are_an_event():
    assert left_to_generation(pd.DataFrame({"label": ["bridge"]})) == (
        "1 weak samples are left to generation, which is not run",
    )
    assert left_to_generation(pd.DataFrame({"label": []})) == ()
