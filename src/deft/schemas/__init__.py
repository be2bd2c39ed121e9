"""One JSON Schema a record; what is on disk either satisfies it or is named as corruption."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from deft.errors import Corruption

NAMES = ("state", "log_entry", "plan", "approval", "manifest", "verdicts", "handoff", "kpi")


@cache
def schema(name: str) -> dict[str, Any]:
    """Return the schema of a record by its name, one of `NAMES`."""
    text = resources.files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema(name))


def validate(record: object, name: str) -> None:
    """Check a record against its schema; raises Corruption that names the JSON path and the rule."""
    error = best_match(_validator(name).iter_errors(record))
    if error is not None:
        raise Corruption(f"{name} record breaks its schema at {error.json_path}", value=error.message[:300])
