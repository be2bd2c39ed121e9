"""`CATEGORY default_specs`: write the default of every key of a category's commands, to begin a spec from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from omegaconf import MISSING, DictConfig, OmegaConf

from deft import files
from deft.errors import UsageError
from deft.tools.grammar import to_yaml
from deft.tools.output import say


@dataclass
class DefaultSpecsConfig:
    """Keys of `default_specs`; `module_name` is one action, empty means all of the category."""

    results_dir: str = MISSING
    module_name: str = ""


def write_default_specs(category: str, config: DictConfig) -> None:
    """Write `experiment.yaml` where all actions share their keys or one is named, else an `ACTION.yaml` each.

    A module that is no action of the category is a UsageError.
    """
    from deft.tools.registry import ACTIONS, DEFAULT_SPECS, actions_of

    actions = [action for action in actions_of(category) if action != DEFAULT_SPECS]
    named = [str(config.module_name)] if config.module_name not in ("", category) else actions
    if not set(named) <= set(actions):
        raise UsageError(
            f"no module of {category}", value=config.module_name, hint=f"one of {', '.join(actions)}"
        )
    schemas = {ACTIONS[category, action].load_schema(): action for action in reversed(named)}
    for schema, action in schemas.items():
        name = "experiment" if len(schemas) == 1 else action
        path = Path(config.results_dir) / f"{name}.yaml"
        files.write_text(path, to_yaml(OmegaConf.structured(schema)))
        say(f"default specification saved at {path}")


visual_changenet, gap_analysis, embedding, tmm = (
    partial(write_default_specs, category)
    for category in ("visual_changenet", "gap_analysis", "embedding", "tmm")
)
