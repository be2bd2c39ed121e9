from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from deft.errors import StageFailed
from deft.tools.visual_changenet.data import SplitSource
from deft.tools.visual_changenet.engine import engine_of
from deft.tools.visual_changenet.train import train
from deft.tools.visual_changenet.trainer import Trainer

Compose = Callable[..., DictConfig]


def trainer_of(config: DictConfig) -> Trainer:
    splits = [SplitSource.from_config(config, name).load(8) for name in ("train", "validation")]
    return Trainer(config, engine_of(config), splits[0], splits[1])


def test_a_batch_holds_the_fixed_share_of_defects_in_mixed_order(compose: Compose) -> None:
    trainer = trainer_of(compose(dataset__classify__batch_size=20))
    batches = [trainer._training.is_defect[trainer._draw_rows()] for _ in range(5)]
    assert [int(batch.sum()) for batch in batches] == [8] * 5
    assert len({tuple(batch) for batch in batches}) == 5


def test_the_average_lags_behind_the_weights_and_catches_up_early(compose: Compose) -> None:
    trainer = trainer_of(compose())
    before = trainer._average["head"][0].weight.clone()
    trainer.step()
    weights = trainer._network["head"][0].weight.detach()
    torch.testing.assert_close(trainer._average["head"][0].weight, 0.1 * before + 0.9 * weights)


def test_the_rate_rises_for_a_fifth_of_the_steps_and_falls_to_nothing(compose: Compose) -> None:
    trainer = trainer_of(compose(train__num_epochs=5))
    rates = []
    for _ in range(20):
        rates.append(trainer._optimizer.param_groups[0]["lr"])
        trainer.step()
    assert max(rates) == pytest.approx(0.004)
    assert rates.index(max(rates)) == 3
    assert rates[-1] < 1e-6


@pytest.mark.parametrize("epochs", [1, 2])
def test_very_few_steps_still_have_a_schedule(compose: Compose, epochs: int) -> None:
    trainer = trainer_of(compose(train__num_epochs=epochs, train__embedded__steps_per_epoch=1))
    for _ in range(epochs):
        trainer.step()
    assert trainer.position.step == epochs


def test_without_augmentation_the_pixels_are_the_pictures(compose: Compose) -> None:
    trainer = trainer_of(compose(train__embedded__augmentation=False))
    golden, test = trainer._images(np.array([0, 1]))
    pixels = trainer._training.images.pairs(np.array([0, 1]))
    assert np.array_equal((golden * 255).round().numpy()[:, 0].transpose(0, 2, 3, 1), pixels[0][:, 0])
    assert np.array_equal((test * 255).round().numpy()[:, 0].transpose(0, 2, 3, 1), pixels[1][:, 0])


def test_a_negative_seed_trains_differently_each_time(compose: Compose) -> None:
    first, second = (trainer_of(compose(train__seed=-1)) for _ in range(2))
    assert not torch.equal(first._network["head"][0].weight, second._network["head"][0].weight)


def test_epoch_figures_are_means_over_the_epochs_pairs(compose: Compose) -> None:
    trainer = trainer_of(compose())
    trainer._count(0.5, torch.tensor([1.0, -1.0, 2.0, -2.0]), torch.tensor([1.0, 1.0, 0.0, 0.0]))
    trainer._count(1.5, torch.tensor([1.0, -1.0, -2.0, -2.0]), torch.tensor([1.0, 0.0, 0.0, 0.0]))
    assert trainer.epoch_figures() == {"train_loss": 1.0, "train_acc": 75.0, "train_fpr": 12.5}


def test_a_diverged_training_says_so_instead_of_going_on(
    compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = lambda self, rows: (torch.full((8, 1, 3, 32, 32), np.nan),) * 2  # noqa: E731
    monkeypatch.setattr(Trainer, "_images", nothing)
    with pytest.raises(StageFailed, match="loss is not finite at step 1"):
        train(compose())
