"""Which rows of the pool are chosen, and why the others are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deft.embedding.candidates import Embedded, Rule
from deft.embedding.selection import draw_randomly, select
from deft.errors import UsageError


def embedded(rows: list[tuple[str, str, list[float]]], provenance: dict[str, str] | None = None) -> Embedded:
    table = pd.DataFrame({"filepath": [row[0] for row in rows], "label": [row[1] for row in rows]})
    if provenance is not None:
        table["provenance"] = [provenance.get(path, "real") for path in table["filepath"]]
    return Embedded(table, np.array([row[2] for row in rows], dtype=np.float32))


TARGETS = embedded([("t_bridge", "bridge", [1, 0]), ("t_pass", "PASS", [0, 1])])
POOL = [
    ("p_bridge", "bridge", [1.0, 0.1]),
    ("p_shift", "shift", [1.0, 0.2]),
    ("p_pass", "PASS", [1.0, 0.0]),
    ("p_pass2", "PASS", [0.0, 1.0]),
]


def test_a_defect_pulls_only_defects_and_pass_only_pass_under_the_class_filter():
    chosen = select(TARGETS, embedded(POOL), Rule(top_k=1), already=set())
    pairs = dict(chosen.neighbours[["target_filepath", "source_filepath"]].to_numpy())
    assert pairs == {"t_bridge": "p_bridge", "t_pass": "p_pass2"}


def test_the_label_filter_pulls_equal_labels_only():
    chosen = select(TARGETS, embedded(POOL), Rule(top_k=5, label_filter="label"), already=set())
    assert set(chosen.kept) == {"p_bridge", "p_pass", "p_pass2"}


def test_without_a_filter_the_nearest_row_wins_whatever_its_label():
    chosen = select(TARGETS, embedded(POOL), Rule(top_k=1, label_filter="none"), already=set())
    assert "p_pass" in chosen.kept


def test_an_unknown_filter_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="class, label or none"):
        select(TARGETS, embedded(POOL), Rule(top_k=1, label_filter="colour"), already=set())


def test_rows_mined_before_are_replaced_by_the_next_nearest():
    chosen = select(TARGETS, embedded(POOL), Rule(top_k=1), already={"p_bridge"})
    assert "p_shift" in chosen.kept
    assert "p_bridge" not in chosen.neighbours["source_filepath"].tolist()


def test_a_label_without_candidates_is_named():
    chosen = select(TARGETS, embedded([POOL[2]]), Rule(top_k=1), already=set())
    assert chosen.without_candidates == ("defect",)


def test_a_neighbour_below_the_cut_stays_in_the_evidence_with_its_reason():
    chosen = select(TARGETS, embedded(POOL), Rule(top_k=2, min_similarity=0.99), already=set())
    fate = chosen.neighbours.set_index("source_filepath")["reason"].to_dict()
    assert fate["p_shift"] == "below similarity cut"
    assert "p_shift" not in chosen.kept


def test_a_row_near_to_two_targets_is_kept_once_for_the_nearer():
    targets = embedded([("near", "bridge", [1, 0.1]), ("far", "bridge", [1, 0.5])])
    chosen = select(targets, embedded(POOL[:1]), Rule(top_k=1), already=set())
    kept = chosen.neighbours[chosen.neighbours["kept"]]
    assert kept["target_filepath"].tolist() == ["near"]
    assert chosen.neighbours["reason"].tolist() == ["", "kept for a nearer target"]


def test_the_synthetic_share_drops_the_least_similar_synthetic_rows():
    pool = embedded(
        [(f"s{i}", "bridge", [1.0, 0.1 * i]) for i in range(4)] + [("real", "bridge", [1.0, 0.9])],
        {f"s{i}": "sdg" for i in range(4)},
    )
    chosen = select(TARGETS.where(np.array([True, False])), pool, Rule(5, synthetic_share=0.5), already=set())
    assert chosen.kept == ["s0", "real"]


def test_nothing_to_mine_gives_an_empty_selection_with_all_columns():
    chosen = select(TARGETS, embedded(POOL), Rule(top_k=3), already={row[0] for row in POOL})
    assert chosen.kept == []
    assert list(chosen.neighbours.columns)[-2:] == ["kept", "reason"]


def test_a_percentile_cut_is_taken_of_the_pools_own_similarity():
    pool = embedded([(str(i), "PASS", [np.cos(i / 9), np.sin(i / 9)]) for i in range(9)])
    low, high = (
        select(TARGETS, pool, Rule(1, min_similarity=text), already=set()).cut for text in ("p0", "p100")
    )
    assert low == pytest.approx(np.cos(1 / 9), abs=1e-6)
    assert low <= high <= 1


def test_random_rows_depend_on_the_seed_alone_and_avoid_what_was_mined():
    pool = embedded([(f"r{i}", "PASS", [1.0, i]) for i in range(20)])
    first, again, other = (draw_randomly(pool, 5, already={"r3"}, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert "r3" not in first
    assert len(set(first)) == 5
