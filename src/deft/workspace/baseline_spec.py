"""Write `specs/baseline_spec.yaml` for a workspace that was drawn or imported.

The keys are those of a TAO visual_changenet classify spec (contracts/tao-commands.md sections 4 and 5);
`model.embedded` and `train.embedded` are read by the embedded engine alone (research/engine.md section 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deft import files
from deft.workspace.layout import Workspace

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]
EPOCHS = 10
STEPS_PER_EPOCH = 20
BATCH_SIZE = 96
ROTATIONS = 4


def write_baseline_spec(
    workspace: Workspace,
    home: Path,
    *,
    lights: Sequence[str],
    extension: str = ".jpg",
    size: tuple[int, int] = (64, 64),
    batch_size: int = BATCH_SIZE,
) -> Path:
    """Write the spec of a workspace that will live at `home`: TAO wants absolute paths.

    `lights` are the file suffixes in order (TAO's gap analysis needs one), `size` is (width, height).
    """
    spec: dict[str, Any] = {
        "task": "classify",
        "model": {"backbone": {"type": "deft_mid_fusion"}, "embedded": {"rotations": ROTATIONS}},
        "dataset": {
            "classify": {**_dataset(Workspace(home), lights, extension, size), "batch_size": batch_size}
        },
        "train": {
            "num_epochs": EPOCHS,
            "seed": 1234,
            "checkpoint_interval": 1,
            "validation_interval": 1,
            "embedded": {"steps_per_epoch": STEPS_PER_EPOCH},
        },
    }
    return files.write_yaml(workspace.baseline_spec, spec)


def _dataset(home: Workspace, lights: Sequence[str], extension: str, size: tuple[int, int]) -> dict[str, Any]:
    width, height = size
    tables = {
        "train": home.training_table,
        "validation": home.validation_table,
        "test": home.kpi_table,
        "infer": home.kpi_table,
    }
    images = str(home.root / "kpi" / "images")
    return {
        **{
            f"{split}_dataset": {"csv_path": str(table), "images_dir": images}
            for split, table in tables.items()
        },
        "input_map": {light: index for index, light in enumerate(lights)},
        "image_ext": extension,
        "image_width": width,
        "image_height": height,
        "workers": 2,
        "num_input": len(lights),
        "num_golden": 1,
        "num_classes": 2,
        "concat_type": "linear",
        "augmentation_config": {
            "rgb_input_mean": IMAGENET_MEAN,
            "rgb_input_std": IMAGENET_STD,
            "augment": True,
        },
    }
