"""The precision of an encoder is settled before anything is embedded."""

from __future__ import annotations

import pytest

from deft.embedding import precision
from deft.embedding.precision import multiply_in_bfloat16, settled_precision
from deft.errors import UsageError


@pytest.mark.parametrize(("native", "settled"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_what_the_processor_multiplies_natively(
    native: bool, settled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_native_bfloat16", lambda: native)
    assert settled_precision("auto") == settled
    assert settled_precision("fp32") == "fp32"
    assert settled_precision("bf16") == "bf16"


def test_another_precision_is_refused_with_the_choices() -> None:
    with pytest.raises(UsageError, match="auto, fp32 or bf16"):
        settled_precision("fp8")


def test_linear_layers_multiply_in_bfloat16_and_give_back_32_bits() -> None:
    import torch

    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))
    values = torch.tensor([[1 + 2.0**-12, 0, 0, 0]])
    found = multiply_in_bfloat16(network)(values)
    assert found.dtype == torch.float32
    assert torch.equal(found, network(values.bfloat16().float()))  # what bfloat16 cannot hold is not seen
    assert network[1].weight.dtype == torch.float32
