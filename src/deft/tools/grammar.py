"""The grammar of the tools' commands: a schema, a spec file over it, overrides over both.

A dataclass gives the keys, their types and defaults; the spec file replaces defaults; `key=value`,
`+key=value` (new key), `++key=value` (either) and `~key` (without it) come last; hydra's own keys change
nothing here. `???` marks a value that must be given, and is
refused only when it is read. The messages are those that users of the containers know.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, flag_override, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from deft import files
from deft.errors import InputRefused, UsageError
from deft.tools.override_values import parse_value

OVERRIDE = re.compile(r"(?P<mode>\+\+|\+|~|)(?P<key>[A-Za-z_][\w.\-/\[\]]*)(=(?P<value>.*))?", re.DOTALL)
HYDRA = re.compile(r"hydra([./].*)?")
DEFAULTS = "defaults"


@dataclass(frozen=True)
class Override:
    """One change: `mode` is empty (change), `+` (add), `++` (change or add) or `~` (remove)."""

    key: str
    value: object
    text: str
    mode: str = ""


def parse_override(text: str) -> Override:
    """Read `key=value`, `+key=value` or `++key=value`; anything else is refused."""
    found = OVERRIDE.fullmatch(text)
    if found is None or (found["value"] is None and found["mode"] != "~"):
        raise UsageError(
            "override does not parse", value=text, hint="write key=value, +key=value, ++key=value or ~key"
        )
    value = None if found["value"] is None else parse_value(found["value"])
    return Override(found["key"], value, text, found["mode"])


def typed_overrides(values: Mapping[str, object]) -> list[Override]:
    """Return overrides of values that need no parsing: text stays text, whatever it looks like."""
    return [Override(key, value, f"{key}={value}") for key, value in values.items()]


def compose(schema: type, spec: Path | None, overrides: Iterable[Override]) -> DictConfig:
    """Return the configuration of a schema dataclass, a spec file and overrides, in that order.

    Raises InputRefused for a missing or unreadable spec, UsageError for an unknown key or a wrong type.
    """
    config = compose_text(schema, "" if spec is None else files.read_text(spec), spec)
    for override in overrides:
        if not HYDRA.fullmatch(override.key):
            files.require_plain_interpolations(override.value, override.text)
            _apply(config, override)
    return config


def compose_text(schema: type, text: str, spec: Path | None) -> DictConfig:
    """Return the configuration of a schema dataclass and of the text of a spec, which need not be on disk."""
    OmegaConf.register_resolver("eval", evaluate_arithmetic, replace=True, annotation_validation="off")
    config: DictConfig = OmegaConf.structured(schema)
    if spec is not None:
        config = _merged(config, text, spec)
    OmegaConf.set_struct(config, True)
    return config


def to_yaml(config: DictConfig) -> str:
    """Return the configuration as YAML in the schema's order, `???` and `${…}` as they stand."""
    return OmegaConf.to_yaml(config)


def _merged(config: DictConfig, text: str, spec: Path) -> DictConfig:
    content = files.parse_yaml(text, spec)
    if content is not None and not isinstance(content, dict):
        raise InputRefused("spec is not a mapping of keys", value=spec, hint="write one `key: value` a line")
    files.require_plain_interpolations(content, spec)
    try:
        # read again by omegaconf, whose YAML takes 1e-4 for a number
        given = OmegaConf.create(text) if content else OmegaConf.create()
        for key in [key for key in (content or {}) if key == DEFAULTS or HYDRA.fullmatch(str(key))]:
            given.pop(key)  # hydra reads these itself
        merged = OmegaConf.merge(config, given)
    except OmegaConfBaseException as error:
        fact = f"Error merging '{spec.name}' with schema\n{_reason(error)}"
        raise UsageError(fact, value=getattr(error, "full_key", None) or None) from None
    assert isinstance(merged, DictConfig)
    return merged


def _apply(config: DictConfig, override: Override) -> None:
    try:
        if override.mode == "~":
            _remove(config, override)
        elif override.mode == "":
            _change(config, override)
        elif override.mode == "+" and _is_set(config, override):
            raise UsageError(f"Could not append to config. An item is already at '{override.key}'.")
        else:
            with open_dict(config):
                OmegaConf.update(config, override.key, override.value, merge=True, force_add=True)
    except OmegaConfBaseException as error:
        raise UsageError(f"Error merging override {override.text}\n{_reason(error)}") from None


def _remove(config: DictConfig, override: Override) -> None:
    found = OmegaConf.select(config, override.key, throw_on_missing=False)
    if found is None:
        raise UsageError(f"Could not delete from config. '{override.key}' does not exist.")
    if override.value is not None and found != override.value:
        raise UsageError(
            f"Could not delete from config. The value of '{override.key}' is {found} "
            f"and not {override.value}."
        )
    parent, _, name = override.key.rpartition(".")
    holder = OmegaConf.select(config, parent) if parent else config
    with open_dict(holder):
        del holder[name]


def _change(config: DictConfig, override: Override) -> None:
    try:
        with flag_override(config, "struct", True):
            OmegaConf.update(config, override.key, override.value, merge=True)
    except (ConfigAttributeError, ConfigKeyError) as error:
        raise UsageError(
            f"Could not override '{override.key}'.\n"
            f"To append to your config use +{override.text}\n{_reason(error)}"
        ) from None


def _is_set(config: DictConfig, override: Override) -> bool:
    if isinstance(override.value, dict | list):
        return False
    return OmegaConf.select(config, override.key, throw_on_missing=False) is not None


def _reason(error: OmegaConfBaseException) -> str:
    return str(error).strip().partition("\n")[0]


# --- ${eval:…} -------------------------------------------------------------------------------

Number = int | float
OPERATORS: dict[type[ast.AST], Callable[..., Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def evaluate_arithmetic(expression: str) -> Number:
    """Return the value of numbers joined by + - * / // % and brackets; a spec can run nothing else."""
    try:
        return _evaluated(ast.parse(str(expression), mode="eval").body)
    except (SyntaxError, ArithmeticError, ValueError, RecursionError) as error:
        raise UsageError(
            f"${{eval:…}} computes with numbers only ({error})",
            value=expression,
            hint="use + - * / // % and brackets, or write the value itself",
        ) from None


def _evaluated(node: ast.expr) -> Number:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]
    if isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](_evaluated(node.operand))
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](_evaluated(node.left), _evaluated(node.right))
    raise ValueError(f"{type(node).__name__} is not arithmetic")
