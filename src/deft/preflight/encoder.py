"""Say, before anybody approves, that mining could not read its encoder."""

from __future__ import annotations

import os
from pathlib import Path

from deft.embedding.encoders import DEFT_PAIR, TAO_CHECKPOINT_SUFFIXES
from deft.embedding.siglip_clip import HUB_ID, staged_snapshot
from deft.errors import InputRefused, UsageError
from deft.platforms.base import Check
from deft.preflight.settings import USER, Settings


def with_readable_encoder(settings: Settings) -> Settings:
    """Return a loop's settings, the encoder's folder in full; a path that it would not read is refused."""
    path = settings["encoder_path"]
    if path["source"] != USER:
        return settings
    if settings["encoder"]["value"] == DEFT_PAIR:
        raise UsageError(
            f"encoder {DEFT_PAIR} takes no path: in a loop it reads the best model so far",
            value=path["value"],
            hint="leave out --encoder-path, or name its model: --encoder SigLIP --encoder-path PATH",
        )
    return {**settings, "encoder_path": {**path, "value": _folder_or_hub_id(path["value"])}}


def encoder_checks(settings: Settings) -> list[Check]:
    """Look for a hub model on this machine: a loop that reads here would fail hours later without it."""
    name = settings["encoder_path"]["value"]
    takes_none = settings["encoder"]["value"] == DEFT_PAIR or settings["mining"]["value"] == "none"
    if takes_none or not name or Path(name).is_dir():
        return []
    folder = staged_snapshot(name)
    cure = f"where there is network: hf download {name}, or deft preflight --encoder deft_pair"
    return [Check("encoder", folder is not None, name if folder else f"{name} is not on this machine", cure)]


def _folder_or_hub_id(text: str) -> str:
    """Return a folder in full, because a run may be started in another one, and a hub id as it is."""
    folder = Path(os.path.expanduser(text))
    if text and (folder / "config.json").is_file():
        return str(folder.resolve())
    named = HUB_ID.fullmatch(text) and not text.lower().endswith(TAO_CHECKPOINT_SUFFIXES)
    if named and not folder.exists():
        return text
    raise InputRefused(
        "encoder_path is neither a folder that holds a model nor a hub id",
        value=text,
        hint="hf download ORGANISATION/MODEL --local-dir DIR, then deft preflight --encoder-path DIR",
    )
