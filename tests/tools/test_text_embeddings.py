from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from deft.errors import EnvironmentMissing, InputRefused, UsageError
from deft.tools.text_embeddings import TextEmbeddingsConfig, run
from tiny_models import save_clip, save_siglip, save_tokenizer

torch.set_num_threads(1)


def embed(folder: Path, texts: list[Any], model: str = "SigLIP", **keys: Any) -> Any:
    pd.DataFrame({"n": range(len(texts)), "text": texts}).to_parquet(folder / "in.parquet", index=False)
    run(
        TextEmbeddingsConfig(
            input_parquet=str(folder / "in.parquet"),
            output_parquet=str(folder / "out.parquet"),
            model=model,
            model_path=str(folder / "model"),
            **keys,
        )
    )
    return pq.read_table(folder / "out.parquet")


@pytest.fixture
def siglip(tmp_path: Path) -> Path:
    save_tokenizer(save_siglip(tmp_path / "model"), limit=16)
    return tmp_path


def test_each_text_gets_its_vector_beside_its_own_columns_in_order(siglip: Path) -> None:
    found = embed(siglip, ["solder bridge", "open", "solder bridge"], batch_size=2)
    assert found.column_names == ["text", "embedding", "n"]
    assert found["text"].to_pylist() == ["solder bridge", "open", "solder bridge"]
    vectors = np.array(found["embedding"].to_pylist())
    assert vectors.shape == (3, 8)
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-5)
    assert not np.allclose(vectors[0], vectors[1])


def test_the_vectors_are_the_text_features_of_padded_tokens(siglip: Path) -> None:
    from transformers import SiglipModel

    tokens = torch.tensor([[2, 3] + [0] * 14])
    with torch.no_grad():
        expected = SiglipModel.from_pretrained(siglip / "model").text_model(tokens).pooler_output
    found = embed(siglip, ["solder bridge"])
    np.testing.assert_allclose(found["embedding"].to_pylist(), expected, atol=1e-5)


@pytest.mark.parametrize("spelling", ["siglip", "SIG-LIP", "Sig_LIP2", "SigLIP2"])
def test_the_spelling_of_a_model_is_free(siglip: Path, spelling: str) -> None:
    assert len(embed(siglip, ["open"], spelling)) == 1


def test_clip_pads_to_its_77_tokens_and_projects(tmp_path: Path) -> None:
    save_tokenizer(save_clip(tmp_path / "model"), limit=16)
    assert len(embed(tmp_path, ["solder " * 70], "CLIP")["embedding"][0]) == 6


def test_an_empty_table_gives_an_empty_table(siglip: Path) -> None:
    assert embed(siglip, []).num_rows == 0


def test_what_is_no_text_is_refused_with_its_row(siglip: Path) -> None:
    with pytest.raises(InputRefused, match="row 2 holds no text"):
        embed(siglip, ["open", None])


def test_an_unknown_model_and_a_wrong_folder_and_an_empty_batch_are_refused(siglip: Path) -> None:
    with pytest.raises(UsageError, match="one of CLIP, SigLIP, SigLIP2"):
        embed(siglip, ["open"], "BERT")
    with pytest.raises(InputRefused, match="type siglip, not clip"):
        embed(siglip, ["open"], "CLIP")
    with pytest.raises(UsageError, match="batch_size"):
        embed(siglip, ["open"], batch_size=0)
    assert not (siglip / "out.parquet").exists()


def test_a_folder_without_a_tokeniser_says_what_to_stage(tmp_path: Path) -> None:
    save_siglip(tmp_path / "model")
    with pytest.raises(EnvironmentMissing, match="tokeniser"):
        embed(tmp_path, ["open"])
