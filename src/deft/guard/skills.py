"""Which names are skills of this plugin, as the model calls them and as users type them.

Standard library only, Python 3.8 on.
"""

from __future__ import annotations

import os
import re

PLUGIN = "deft-aoi"
TYPED = re.compile(r"/([a-z0-9:_-]+)(?:\s|$)")


def is_our_skill(name: str, plugin_root: str) -> bool:
    """Say whether `deft-aoi:skill`, or a bare `skill`, names a folder of this plugin's skills."""
    plugin, _, skill = name.rpartition(":")
    if plugin not in ("", PLUGIN) or not re.fullmatch(r"[a-z0-9-]{1,64}", skill):
        return False
    return os.path.isfile(os.path.join(plugin_root, "skills", skill, "SKILL.md"))


def typed_skill(prompt: str, plugin_root: str) -> str | None:
    """Return the skill of this plugin that a typed `/name` invokes, or None."""
    found = TYPED.match(prompt.lstrip())
    return found[1] if found and is_our_skill(found[1], plugin_root) else None
