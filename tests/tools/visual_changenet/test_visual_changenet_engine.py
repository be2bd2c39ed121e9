from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from omegaconf import DictConfig

from deft.errors import UsageError
from deft.tools.visual_changenet.engine import engine_of, rates

Compose = Callable[..., DictConfig]


def test_rates_count_errors_over_all_rows() -> None:
    scores = np.array([0.9, 0.2, 0.8, 0.1], np.float32)
    found = rates(scores, np.array([True, True, False, False]), 0.5)
    assert found == {"acc": 50.0, "fpr": 25.0, "fnr": 25.0, "defect_acc": 50.0}


def test_rates_without_defects_catch_none() -> None:
    assert rates(np.array([0.1], np.float32), np.array([False]), 0.5)["defect_acc"] == 0.0


@pytest.mark.parametrize("backbone", ["fan_small_12_p4_hybrid", "vit_tiny"])
def test_a_backbone_that_does_not_run_here_is_refused_with_the_alternative(
    compose: Compose, backbone: str
) -> None:
    with pytest.raises(UsageError, match=r"model\.backbone\.type[\s\S]*deft_mid_fusion"):
        engine_of(compose(model__backbone__type=backbone))
