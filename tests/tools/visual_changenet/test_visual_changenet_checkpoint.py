from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from deft import files
from deft.embedding.pair_network import read_checkpoint
from deft.errors import EnvironmentMissing, InputRefused
from deft.tools.visual_changenet.checkpoint import (
    INTERRUPTED,
    LATEST,
    checkpoint_to_resume,
    write_checkpoint,
)
from deft.tools.visual_changenet.train import train

Compose = Callable[..., DictConfig]


def write(folder: Path, step: int, *, interrupted: bool = False, **training: Any) -> Path:
    return write_checkpoint(
        folder,
        epoch=0,
        step=step,
        settings={"backbone": "deft_mid_fusion"},
        weights={"weight": torch.arange(4.0)},
        training={"records": 2, **training},
        interrupted=interrupted,
    )


def test_the_link_follows_the_newest_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, 1)
    write(tmp_path, 2)
    assert (tmp_path / LATEST).readlink() == Path("model_epoch_000_step_00002.pth")
    assert read_checkpoint(tmp_path / LATEST)["global_step"] == 2


def test_the_next_regular_checkpoint_replaces_an_interrupted_one(tmp_path: Path) -> None:
    write(tmp_path, 1, interrupted=True)
    assert (tmp_path / LATEST).readlink() == Path(INTERRUPTED)
    write(tmp_path, 2)
    assert not (tmp_path / INTERRUPTED).exists()
    assert (tmp_path / LATEST).resolve().is_file()


def test_equal_states_have_equal_bytes_whoever_made_their_strings(tmp_path: Path) -> None:
    name = "".join(["momen", "tum"])
    first = write(tmp_path / "a", 1, optimizer={name: [name, name]}).read_bytes()
    apart = ["".join(["momen", "tum"]) for _ in range(3)]
    second = write(tmp_path / "b", 1, optimizer={apart[0]: [apart[1], apart[2]]}).read_bytes()
    assert first == second


def test_a_full_disk_leaves_the_earlier_checkpoint_and_names_what_is_needed_and_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1)

    def full(descriptor: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(files.os, "write", full)
        with pytest.raises(EnvironmentMissing, match=r"\(\d[\d,]* bytes needed, \d[\d,]* free\).*00002"):
            write(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LATEST, "model_epoch_000_step_00001.pth"]
    assert read_checkpoint(tmp_path / LATEST)["global_step"] == 1


def test_a_damaged_newest_checkpoint_costs_its_own_epochs_and_not_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier, newest = write(tmp_path, 1), write(tmp_path, 2)
    newest.write_bytes(newest.read_bytes()[:1000])
    found = checkpoint_to_resume(tmp_path, None)
    assert found is not None
    assert found[0] == earlier
    assert "Passing over a checkpoint: checkpoint cannot be read" in capsys.readouterr().out
    earlier.unlink()
    assert checkpoint_to_resume(tmp_path, None) is None


def test_an_empty_folder_has_nothing_to_resume(tmp_path: Path) -> None:
    assert checkpoint_to_resume(tmp_path, None) is None


def test_weights_alone_cannot_be_resumed(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "weights.pth")
    with pytest.raises(InputRefused, match="no optimiser state"):
        checkpoint_to_resume(tmp_path, str(tmp_path / "weights.pth"))


@pytest.mark.parametrize("content", [b"", b"no zip", b"\x80\x04cposix\nsystem\nX\x04\x00\x00\x00true\x85R."])
def test_a_checkpoint_that_is_damaged_or_would_run_code_is_refused(
    compose: Compose, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "odd.pth"
    path.write_bytes(content)
    with pytest.raises(InputRefused, match=r"cannot be read[\s\S]*odd\.pth"):
        train(compose(train__pretrained_model_path=str(path)))
