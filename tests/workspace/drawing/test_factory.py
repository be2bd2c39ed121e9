"""The made-up factory's plan: balanced defects, whole boards, one light a board."""

from __future__ import annotations

from collections import Counter

from deft.workspace.drawing.factory import PLACES_A_BOARD, SPLITS, Split, plan_factory


def test_rows_match_the_splits_and_defect_types_are_balanced() -> None:
    plan = plan_factory(0, SPLITS)
    for split in SPLITS:
        rows = [row for row in plan if row.split == split.name]
        assert sum(row.defect is None for row in rows) == split.good
        types = Counter(row.defect for row in rows if row.defect)
        assert sum(types.values()) == split.defective
        assert max(types.values()) - min(types.values()) <= 1


def test_a_board_has_one_split_one_light_one_mask_and_few_places() -> None:
    boards: dict[str, set[tuple[str, str, str]]] = {}
    places: dict[str, set[str]] = {}
    for row in plan_factory(1, SPLITS):
        boards.setdefault(row.board, set()).add((row.split, row.place.lighting, row.place.ground.mask))
        places.setdefault(row.board, set()).add(row.designator)
    assert all(len(variants) == 1 for variants in boards.values())
    assert max(map(len, places.values())) <= PLACES_A_BOARD


def test_no_two_rows_share_a_component() -> None:
    rows = plan_factory(2, SPLITS)
    assert len({(row.folder, row.object_name) for row in rows}) == len(rows)


def test_a_part_never_has_a_defect_its_kind_cannot_have() -> None:
    plan = plan_factory(3, [Split("kpi", 0, 200)])
    assert {row.place.part.kind for row in plan if row.defect == "tombstone"} <= {"chip_r", "chip_c", "led"}
    assert {row.place.part.kind for row in plan if row.defect == "lifted"} <= {"sot23", "soic"}
