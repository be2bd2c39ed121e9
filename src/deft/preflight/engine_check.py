"""Refuse, before anybody approves, a spec that this package's own engine could not train on."""

from __future__ import annotations

import os
import re

from omegaconf.errors import OmegaConfBaseException

from deft import files
from deft.errors import InputRefused, UsageError
from deft.preflight.inspect import Inspection
from deft.preflight.settings import Settings
from deft.tools.grammar import compose_text
from deft.tools.visual_changenet.recipe import require_trainable
from deft.tools.visual_changenet.schema import ExperimentConfig
from deft.workspace.training_spec import BACKBONE_WEIGHTS, TrainingSettings, training_spec

HUB_MODEL = re.compile(
    r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?<!\.pth)(?<!\.pt)(?<!\.bin)(?<!\.safetensors)"
)


def require_trainable_spec(inspection: Inspection, settings: Settings) -> None:
    """Derive the baseline's training spec and ask the engine; InputRefused names the key it would refuse."""
    workspace = inspection.workspace
    agreed = TrainingSettings.from_plan({"settings": settings})
    text = files.yaml_text(training_spec(inspection.spec, workspace, agreed))
    try:
        config = compose_text(ExperimentConfig, text, workspace.baseline_spec)
        require_trainable(config)
        named = config.model.backbone.pretrained_backbone_path
    except UsageError as fault:
        raise InputRefused(" ".join(fault.fact.split()), value=fault.value, hint=fault.hint) from None
    except OmegaConfBaseException as fault:
        reason = str(fault).strip().partition("\n")[0]
        raise InputRefused(f"spec cannot be read ({reason})", value=workspace.baseline_spec) from None
    if named:
        require_backbone_weights(named)


def require_backbone_weights(named: str) -> None:
    """Refuse weights that are not here, and a path whose meaning depends on where the run is started."""
    if os.path.isabs(named):
        if not os.path.isfile(named):
            raise InputRefused(
                f"{BACKBONE_WEIGHTS} does not exist", value=named, hint="name a file of weights"
            )
    elif os.path.exists(named) or not HUB_MODEL.fullmatch(named):
        raise InputRefused(
            f"{BACKBONE_WEIGHTS} is neither the full path of a file nor a hub id",
            value=named,
            hint="write it in full, from / on",
        )
