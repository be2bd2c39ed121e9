from __future__ import annotations

import pytest
import torch

from deft.errors import UsageError
from deft.tools.visual_changenet import precision


@pytest.mark.parametrize(
    ("exact", "mixed", "chosen"), [(1.0, 0.5, "bf16-mixed"), (1.0, 0.95, "32-true"), (1.0, 4.0, "32-true")]
)
def test_bfloat16_is_chosen_only_where_it_is_clearly_faster(
    monkeypatch: pytest.MonkeyPatch, exact: float, mixed: float, chosen: str
) -> None:
    seconds = {"32-true": exact, "bf16-mixed": mixed}
    monkeypatch.setattr(precision, "_step_seconds", lambda name, budget: seconds[name])
    assert precision.probe_precision(threads=1) == chosen


def test_probing_times_real_steps_and_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    assert precision.probe_precision(threads=1, seconds=0.01) in precision.PRECISIONS
    assert torch.equal(torch.get_rng_state(), before)


def test_auto_is_refused_because_it_would_change_the_bytes_of_a_checkpoint() -> None:
    with pytest.raises(UsageError, match=r"32-true or bf16-mixed[\s\S]*auto"):
        precision.require_precision("auto")


def test_zero_threads_are_all_cores() -> None:
    assert precision.set_threads(0) >= 1
    assert precision.set_threads(1) == torch.get_num_threads() == 1


def test_the_probe_prints_one_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(precision, "_step_seconds", lambda name, budget: 1.0)
    monkeypatch.setattr("sys.argv", ["precision", "--threads", "1"])
    precision.main()
    assert capsys.readouterr().out == "32-true\n"
