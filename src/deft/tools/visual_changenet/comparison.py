"""Two ways to compare the features of a golden and of a test image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

EMBEDDING_HIDDEN = 512
MAP_WIDTH = 256


def build_comparison(module: str, width: int, options: Any) -> nn.ModuleDict:
    """Return the untrained comparison of features of some width; `options` is `model.classify`."""
    if module == "euclidean":
        return _euclidean(width, options["embedding_vectors"])
    return _learnable(width, options["learnable_difference_modules"], options["embed_dec"])


def _euclidean(width: int, vectors: int) -> nn.ModuleDict:
    from torch import nn

    layers = [
        *(nn.Linear(width, EMBEDDING_HIDDEN), nn.ReLU(), nn.BatchNorm1d(EMBEDDING_HIDDEN)),
        *(nn.Linear(EMBEDDING_HIDDEN, EMBEDDING_HIDDEN), nn.ReLU(), nn.BatchNorm1d(EMBEDDING_HIDDEN)),
        nn.Linear(EMBEDDING_HIDDEN, vectors),
    ]
    return nn.ModuleDict({"embed": nn.Sequential(*layers)})


def _learnable(width: int, levels: int, decoder: int) -> nn.ModuleDict:
    from torch import nn

    def level() -> nn.ModuleDict:
        difference = [nn.Conv2d(3 * MAP_WIDTH, MAP_WIDTH, 3, padding=1), nn.BatchNorm2d(MAP_WIDTH), nn.ReLU()]
        return nn.ModuleDict(
            {"project": nn.Conv2d(width, MAP_WIDTH, 1), "difference": nn.Sequential(*difference)}
        )

    fuse = nn.Sequential(nn.Conv2d(levels * MAP_WIDTH, MAP_WIDTH, 1), nn.BatchNorm2d(MAP_WIDTH), nn.ReLU())
    classify = nn.Sequential(
        *(nn.Linear(2 * MAP_WIDTH, decoder), nn.ReLU(), nn.BatchNorm1d(decoder)),
        *(nn.Linear(decoder, decoder), nn.ReLU(), nn.BatchNorm1d(decoder)),
        nn.Linear(decoder, 1),
    )
    return nn.ModuleDict(
        {"levels": nn.ModuleList(level() for _ in range(levels)), "fuse": fuse, "classify": classify}
    )


def compare(module: str, comparison: nn.ModuleDict, maps: list[Tensor], summary: Tensor) -> Tensor:
    """Return one number a pair from features of goldens followed by features of tests (2n rows).

    `maps` are (2n, width, rows, columns), one a level; `summary` is (2n, width).
    """
    import torch

    if module == "euclidean":
        golden, test = comparison["embed"](summary).chunk(2)
        return (golden - test).square().sum(1).clamp(min=1e-12).sqrt()
    differences = []
    for level, level_maps in zip(comparison["levels"], maps, strict=True):
        golden, test = level["project"](level_maps).chunk(2)
        differences.append(level["difference"](torch.cat([golden, test, (golden - test).abs()], 1)))
    fused = comparison["fuse"](torch.cat(differences, 1)).flatten(2)
    pooled = torch.cat([fused.amax(2), fused.mean(2)], 1)
    logits: Tensor = comparison["classify"](pooled).squeeze(1)
    return logits
