"""Which command is which function: nothing is imported before it is called."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from deft.errors import EnvironmentMissing

Function = Callable[[DictConfig], None]


@dataclass(frozen=True)
class Action:
    """One command: its schema dataclass and the function that takes the configuration, as `module:name`."""

    schema: str
    function: str

    def load_schema(self) -> type:
        """Import the dataclass that gives keys, types and defaults."""
        schema: type = _load(self.schema)
        return schema

    def load_function(self) -> Function:
        """Import the function; a package that is not installed is EnvironmentMissing."""
        function: Function = _load(self.function)
        return function


def _load(place: str) -> Any:
    module, name = place.split(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ModuleNotFoundError, AttributeError) as error:
        missing = getattr(error, "name", None) or place
        raise EnvironmentMissing(
            "this command needs a package that is not installed",
            value=missing,
            hint="bin/deft builds an environment that holds it; or pip install 'deft-aoi[embedded]'",
        ) from None


_CHANGENET = "deft.tools.visual_changenet"
_CHANGENET_SCHEMA = f"{_CHANGENET}.schema:ExperimentConfig"
ACTIONS: dict[tuple[str, str], Action] = {
    ("visual_changenet", "train"): Action(_CHANGENET_SCHEMA, f"{_CHANGENET}.train:train"),
    ("visual_changenet", "evaluate"): Action(_CHANGENET_SCHEMA, f"{_CHANGENET}.predict:evaluate"),
    ("visual_changenet", "inference"): Action(_CHANGENET_SCHEMA, f"{_CHANGENET}.predict:inference"),
    ("gap_analysis", "vcn_aoi"): Action(
        "deft.tools.gap_analysis:GapAnalysisConfig", "deft.tools.gap_analysis:run"
    ),
    ("embedding", "image_embeddings"): Action(
        "deft.tools.image_embeddings:ImageEmbeddingsConfig", "deft.tools.image_embeddings:run"
    ),
    ("embedding", "text_embeddings"): Action(
        "deft.tools.text_embeddings:TextEmbeddingsConfig", "deft.tools.text_embeddings:run"
    ),
    ("tmm", "nearest_neighbors"): Action(
        "deft.tools.nearest_neighbors:NearestNeighborsConfig", "deft.tools.nearest_neighbors:run"
    ),
    ("tmm", "unique_neighbor_matching"): Action(
        "deft.tools.unique_neighbor_matching:UniqueNeighborMatchingConfig",
        "deft.tools.unique_neighbor_matching:run",
    ),
}


DEFAULT_SPECS = "default_specs"
ACTIONS |= {
    (category, DEFAULT_SPECS): Action(
        "deft.tools.default_specs:DefaultSpecsConfig", f"deft.tools.default_specs:{category}"
    )
    for category, _ in ACTIONS
}


def categories() -> list[str]:
    """Return the first words of all commands, in order."""
    return list(dict.fromkeys(category for category, _ in ACTIONS))


def actions_of(category: str) -> list[str]:
    """Return the second words of a category's commands."""
    return [action for name, action in ACTIONS if name == category]
