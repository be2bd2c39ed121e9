from __future__ import annotations

from pathlib import Path

import numpy as np

from deft.embedding.parts import Parts
from deft.embedding.samples import Embedded


def parts(output: Path, key: str = "k", rows: int = 5) -> Parts:
    return Parts(output, key=key, rows=rows, rows_per_part=2)


def embedded(accepted: list[int], rejected: dict[int, str], value: float = 0.0) -> Embedded:
    blocks = [np.full((len(accepted), width), value, np.float32) for width in (3, 1)]
    return Embedded(blocks, accepted, rejected)


def test_rows_are_cut_into_parts_of_equal_size_and_a_rest(tmp_path: Path) -> None:
    cut = parts(tmp_path / "out.parquet")
    assert [list(cut.rows(part)) for part in range(len(cut))] == [[0, 1], [2, 3], [4]]
    assert len(parts(tmp_path / "none.parquet", rows=0)) == 0


def test_a_part_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = Embedded([np.array([[0.1, np.pi]], np.float32), np.array([[7]], np.float32)], [1], {0: "torn"})
    parts(tmp_path / "out.parquet").write(0, written)
    found = parts(tmp_path / "out.parquet").read(0)
    assert (found.accepted, found.rejected) == ([1], {0: "torn"})
    for expected, block in zip(written.blocks, found.blocks, strict=True):
        np.testing.assert_array_equal(expected, block)


def test_a_part_names_what_it_was_made_from(tmp_path: Path) -> None:
    parts(tmp_path / "out.parquet").write(0, Embedded([np.ones((1, 2), np.float32)], [0], {}, "abc"))
    assert parts(tmp_path / "out.parquet").contents(0) == "abc"


def test_a_second_process_sees_which_parts_are_missing(tmp_path: Path) -> None:
    parts(tmp_path / "out.parquet").write(1, embedded([0, 1], {}))
    again = parts(tmp_path / "out.parquet")
    assert [again.exists(part) for part in range(3)] == [False, True, False]


def test_parts_of_another_input_or_encoder_are_dropped(tmp_path: Path) -> None:
    parts(tmp_path / "out.parquet").write(0, embedded([0, 1], {}))
    assert not parts(tmp_path / "out.parquet", key="other").exists(0)


def test_a_folder_whose_first_write_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    begun = parts(tmp_path / "out.parquet")
    begun.write(0, embedded([0, 1], {}))
    (begun.folder / "manifest.json").unlink()
    assert not parts(tmp_path / "out.parquet").exists(0)


def test_the_parts_that_exist_come_in_order_each_with_its_first_row(tmp_path: Path) -> None:
    whole = parts(tmp_path / "out.parquet")
    whole.write(2, embedded([0], {}, 2.0))
    whole.write(0, embedded([1], {0: "torn"}, 1.0))
    found = [(start, part.accepted, part.rejected) for start, part in whole]
    assert found == [(0, [1], {0: "torn"}), (4, [0], {})]


def test_removed_parts_leave_nothing(tmp_path: Path) -> None:
    whole = parts(tmp_path / "out.parquet")
    whole.write(0, embedded([0], {}))
    whole.remove()
    assert list(tmp_path.iterdir()) == []
