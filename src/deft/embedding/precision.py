"""In which arithmetic a model's large products are computed: 32 bits, or bfloat16 with 32-bit sums."""

from __future__ import annotations

from typing import Any

from deft.embedding.arithmetic import has_native_bfloat16
from deft.errors import UsageError

EXACT, FAST, AUTO = "fp32", "bf16", "auto"


def settled_precision(precision: str) -> str:
    """Return fp32 or bf16; `auto` is bf16 where the processor multiplies it natively."""
    if precision not in (EXACT, FAST, AUTO):
        raise UsageError("precision is not known", value=precision, hint=f"{AUTO}, {EXACT} or {FAST}")
    if precision == AUTO:
        return FAST if has_native_bfloat16() else EXACT
    return precision


def multiply_in_bfloat16(network: Any) -> Any:
    """Let every linear layer of a PyTorch module multiply in bfloat16, and return the module.

    What is added up between the layers stays in 32 bits, and so do norms and attention weights: the cosine
    with the exact features is then above 0.9999, which a model wholly in bfloat16 does not keep.
    """
    import torch

    for module in network.modules():
        if type(module) is torch.nn.Linear:
            module.bfloat16()
            module.register_forward_pre_hook(
                lambda layer, given: tuple(values.bfloat16() for values in given)
            )
            module.register_forward_hook(lambda layer, given, result: result.float())
    return network
