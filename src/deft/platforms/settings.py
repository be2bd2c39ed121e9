"""What a user says of a platform once per workspace: account, partition, images, memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deft import files
from deft.errors import InputRefused
from deft.workspace.layout import Workspace


def read_platform_settings(root: Path, name: str) -> dict[str, Any]:
    """Return the section `name` of `<workspace>/specs/platforms.yaml`; empty where nobody wrote one.

    The plan records it, so an approval is bound to it. Raises InputRefused for a file of another shape.
    """
    path = Workspace(root).platform_settings
    content = files.read_yaml(path) if path.is_file() else {}
    section = content.get(name, {}) if isinstance(content, dict) else None
    if not isinstance(section, dict):
        raise InputRefused(
            "platform settings are a mapping of settings for each platform",
            value=path,
            hint=f"{name}: {{...}}",
        )
    return section
