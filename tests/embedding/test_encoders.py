from __future__ import annotations

from pathlib import Path

import pytest

from deft.embedding.encoders import load_encoder
from deft.errors import EnvironmentMissing, InputRefused, UsageError


@pytest.mark.parametrize("model", ["siglip", "SigLIP2", ""])
def test_a_name_that_is_no_encoder_is_refused_with_the_names_that_are(model: str) -> None:
    with pytest.raises(UsageError, match="one of SigLIP, CLIP, deft_pair"):
        load_encoder(model, "anything")


@pytest.mark.parametrize("suffix", [".pth", ".CKPT"])
def test_a_tao_checkpoint_needs_its_config_whatever_the_model_is_called(tmp_path: Path, suffix: str) -> None:
    checkpoint, config = tmp_path / f"model{suffix}", tmp_path / "spec.yaml"
    with pytest.raises(UsageError, match="model_config_path is required"):
        load_encoder("SigLIP", str(checkpoint))
    with pytest.raises(InputRefused, match="model_path names a file that does not exist"):
        load_encoder("CLIP", str(checkpoint), str(config))
    checkpoint.touch()
    with pytest.raises(InputRefused, match="model_config_path names a file that does not exist"):
        load_encoder("CLIP", str(checkpoint), str(config))
    config.touch()
    with pytest.raises(EnvironmentMissing, match="--platform docker"):
        load_encoder("CLIP", str(checkpoint), str(config))
