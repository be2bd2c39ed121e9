from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from deft.embedding.text_encoder import text_length


@pytest.mark.parametrize(
    ("tokenizer", "config", "length"),
    [
        ({"model_max_length": 16}, {"max_position_embeddings": 32}, 16),
        ({"model_max_length": 10**30}, {"text_config": {"max_position_embeddings": 32}, "seq_length": 9}, 32),
        ({"model_max_length": 10**30, "init_kwargs": {"model_max_length": 20}}, {}, 20),
        ({"model_max_length": 10**30}, {"max_position_embeddings": 0, "seq_length": 9}, 9),
        ({"model_max_length": 10**30}, {}, 64),
    ],
)
def test_the_length_is_the_first_usable_limit(
    tokenizer: dict[str, Any], config: dict[str, Any], length: int
) -> None:
    if "text_config" in config:
        config["text_config"] = SimpleNamespace(**config["text_config"])
    assert text_length(SimpleNamespace(**tokenizer), SimpleNamespace(**config)) == length
