"""A classify spec with the user's changes over it: what one `visual_changenet` call will see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from deft import files
from deft.errors import InputRefused, UsageError
from deft.platforms.base import ToolCall
from deft.preflight.plan import gpu_count
from deft.preflight.settings import SPEC, USER, Settings
from deft.steps.gate import require_files
from deft.workspace.image_columns import resolve_images
from deft.workspace.rows import REQUIRED, ImageLayout

UNSET = "???"


@dataclass(frozen=True)
class Experiment:
    """A spec file and overrides (dotted key to value)."""

    spec: Path
    overrides: Mapping[str, object]

    @cached_property
    def merged(self) -> DictConfig:
        """Return the spec with the overrides; one that is no classify spec is refused."""
        require_files([self.spec])
        content = files.read_yaml(self.spec)
        if not isinstance(content, dict):
            raise InputRefused("spec is not a mapping of keys", value=self.spec)
        files.require_plain_interpolations(content, self.spec)
        config = OmegaConf.create(content)
        try:
            for key, value in self.overrides.items():
                OmegaConf.update(config, key, value, merge=True, force_add=True)
        except (OmegaConfBaseException, ValueError) as error:  # a word as index of a list is the latter
            raise UsageError("override does not fit the spec", value=str(error).partition("\n")[0]) from None
        if OmegaConf.select(config, "task") != "classify":
            raise InputRefused("spec must say `task: classify`", value=OmegaConf.select(config, "task"))
        return config

    def value(self, key: str) -> Any:
        """Return what stands at a dotted key, None where nothing or `???` does."""
        try:
            found = OmegaConf.select(self.merged, key, throw_on_missing=False)
        except OmegaConfBaseException as error:
            raise InputRefused(f"spec key {key} cannot be read ({error})", value=self.spec) from None
        if isinstance(found, DictConfig | ListConfig):
            return OmegaConf.to_container(found, resolve=True)
        return None if found in (UNSET, "") else found

    def results(self, action: str) -> Path:
        """Return `<action>.results_dir`, else `<results_dir>/<action>`, absolute; neither is a UsageError."""
        own, shared = self.value(f"{action}.results_dir"), self.value("results_dir")
        if own is None and shared is None:
            raise UsageError(
                "the spec names no folder for the results",
                value=self.spec,
                hint=f"add {action}.results_dir=FOLDER",
            )
        return Path(own if own is not None else f"{shared}/{action}").expanduser().absolute()

    def file(self, key: str) -> Path:
        """Return the file that a key names, absolute; a key that names none is refused."""
        named = self.value(key)
        if named is None:
            raise UsageError("spec does not set a key that is needed", value=key, hint=f"add {key}=PATH")
        path = Path(str(named)).expanduser().absolute()
        if not path.is_file():
            raise InputRefused(f"{key} names a file that does not exist", value=path)
        return path

    def split(self, name: str) -> tuple[Path, Path]:
        """Return the table and image root of a split, its first and last row's images being there."""
        block = f"dataset.classify.{name}_dataset"
        table = self.file(f"{block}.csv_path")
        images = Path(str(self.value(f"{block}.images_dir") or ".")).expanduser().absolute()
        rows = files.read_csv(table, required=REQUIRED)
        if rows.empty:
            raise InputRefused("table has no rows", value=table)
        layout = ImageLayout.from_spec({"dataset": self.value("dataset")})
        resolve_images(rows.iloc[[0, -1]], images, layout)
        return table, images

    def settings(self, *shown: str) -> Settings:
        """Return the user's overrides and what the spec says at the keys to show, each with its source."""
        given: Settings = {key: {"value": value, "source": USER} for key, value in self.overrides.items()}
        stated = {key: self.value(key) for key in shown if key not in given}
        return given | {k: {"value": v, "source": SPEC} for k, v in stated.items() if v is not None}

    def arguments(self, verb: str, platform: str) -> tuple[str, ...]:
        """Return the command line after `deft`."""
        words = (f"{key}={_word(value)}" for key, value in self.overrides.items())
        return (verb, str(self.spec), *words, "--platform", platform)

    def call(self, action: str, folder: Path, log: Path, **fixed: object) -> ToolCall:
        """Return the tool call into a folder; `fixed` are overrides with `__` for the dots."""
        paths = {key.replace("__", "."): value for key, value in fixed.items()}
        wanted = self.value(f"{action}.num_gpus")
        return ToolCall(
            category="visual_changenet",
            action=action,
            spec=self.spec,
            overrides={**self.overrides, **paths, f"{action}.results_dir": folder},
            reads=(self.spec.parent,),
            writes=folder,
            log=log,
            title=f"{action} {self.spec.stem}",
            gpus=min(1 if wanted is None else int(wanted), gpu_count()),
        )


def _word(value: object) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
