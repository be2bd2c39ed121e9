from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from omegaconf import DictConfig

from deft.errors import UsageError
from deft.tools.visual_changenet.mid_fusion import balanced_loss, rates, require_mid_fusion, scores_of

Compose = Callable[..., DictConfig]


def test_rates_count_errors_over_all_rows() -> None:
    scores = np.array([0.9, 0.2, 0.8, 0.1], np.float32)
    found = rates(scores, np.array([True, True, False, False]), 0.5)
    assert found == {"acc": 50.0, "fpr": 25.0, "fnr": 25.0, "defect_acc": 50.0}


def test_rates_without_defects_catch_none() -> None:
    assert rates(np.array([0.1], np.float32), np.array([False]), 0.5)["defect_acc"] == 0.0


def test_scores_keep_their_order_far_from_zero() -> None:
    scores = scores_of(np.array([-90, -60, -20, 0, 5, 200], np.float32))
    assert (np.diff(scores) > 0).all()
    assert scores[3] == 0.5
    assert scores[-1] == 1.0


def test_the_validation_loss_weighs_defects_as_training_draws_them() -> None:
    logits = np.array([2.0, -3.0, -3.0, -3.0], np.float32)
    is_defect = np.array([True, False, False, False])
    expected = 0.4 * np.log1p(np.exp(-2)) + 0.6 * np.log1p(np.exp(-3))
    assert balanced_loss(logits, is_defect, 0.4) == pytest.approx(expected)
    assert balanced_loss(logits[1:], is_defect[1:], 0.4) == pytest.approx(np.log1p(np.exp(-3)))


@pytest.mark.parametrize("backbone", ["fan_small_12_p4_hybrid", "vit_tiny"])
def test_a_backbone_that_does_not_run_here_is_refused_with_the_alternative(
    compose: Compose, backbone: str
) -> None:
    with pytest.raises(UsageError, match=r"model\.backbone\.type[\s\S]*deft_mid_fusion"):
        require_mid_fusion(compose(model__backbone__type=backbone))
