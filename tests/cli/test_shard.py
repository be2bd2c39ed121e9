from __future__ import annotations

import pytest

from deft.cli.shard import _number, shard_group


def test_the_verb_has_its_three_parts() -> None:
    assert sorted(shard_group.commands) == ["plan", "reduce", "run"]


@pytest.mark.parametrize("part", ["plan embedding", "plan mining", "run", "reduce"])
def test_every_part_explains_itself(say, part: str) -> None:
    assert say("shard", *part.split(), "--help").code == 0


def test_the_task_of_an_array_knows_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "12")
    assert _number("auto") == 12
    assert _number("3") == 3


def test_a_folder_that_is_none_is_refused(say, tmp_path) -> None:
    assert "holds no plan.json" in say("shard", "run", tmp_path).record["error"]["fact"]
