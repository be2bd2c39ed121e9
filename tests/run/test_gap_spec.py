"""The spec of a gap analysis: what it is of comes from the incumbent, its limits from the plan."""

from __future__ import annotations

from deft.metrics.target import parse_target
from deft.run.gap_spec import gap_spec


def test_the_spec_follows_from_plan_and_incumbent_and_asks_for_a_sweep():
    plan = {
        "settings": {"top_k_per_label": {"value": 7}},
        "target": parse_target("FAR < 1% at recall >= 99%").to_record(),
    }
    incumbent = {"inference_csv": "/run/iter1/inference/latest/inference.csv", "training_spec": "/run/t.yaml"}
    assert gap_spec(plan, incumbent, "/images") == {
        "inference_results_dir": "/run/iter1/inference/latest",
        "train_config": "/run/t.yaml",
        "kpi_media_path": "/images",
        "threshold": -1.0,
        "top_k_per_label": 7,
        "min_recall": 0.99,
    }
