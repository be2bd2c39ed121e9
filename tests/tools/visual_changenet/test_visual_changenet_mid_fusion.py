from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from omegaconf import DictConfig

from deft.tools.visual_changenet.mid_fusion import MidFusion

Compose = Callable[..., DictConfig]


def test_scores_keep_their_order_far_from_zero(compose: Compose) -> None:
    scores = MidFusion(compose()).scores(np.array([-90, -60, -20, 0, 5, 200], np.float32))
    assert (np.diff(scores) > 0).all()
    assert scores[3] == 0.5
    assert scores[-1] == 1.0


def test_the_validation_loss_weighs_defects_as_training_draws_them(compose: Compose) -> None:
    engine = MidFusion(compose())
    logits = np.array([2.0, -3.0, -3.0, -3.0], np.float32)
    is_defect = np.array([True, False, False, False])
    expected = 0.4 * np.log1p(np.exp(-2)) + 0.6 * np.log1p(np.exp(-3))
    assert engine.validation_loss(logits, is_defect) == pytest.approx(expected)
    assert engine.validation_loss(logits[1:], is_defect[1:]) == pytest.approx(np.log1p(np.exp(-3)))
