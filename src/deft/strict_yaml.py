"""YAML of plain types only: no tags, no key twice, no bomb of aliases, no depth without end."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import yaml

MAX_YAML_ALIASES = 100
MAX_YAML_NODES = 20_000
MAX_YAML_SCALAR = 64 * 1024
MAX_YAML_DEPTH = 50


def load(text: str) -> Any:
    """Return what a text holds, the caller's own; what is refused is a yaml.YAMLError.

    A text is parsed once: a loop reads the same few specs at every stage.
    """
    return copy.deepcopy(_parsed(text))


@lru_cache(32)
def _parsed(text: str) -> Any:
    return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - derives from SafeLoader


class StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses duplicate keys, deep nesting, and aliases that grow into a flood."""

    aliases, depth, nodes = 0, 0, 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_YAML_ALIASES:
                raise yaml.YAMLError(f"more than {MAX_YAML_ALIASES} aliases")
        self.depth, self.nodes = self.depth + 1, self.nodes + 1
        if self.depth > MAX_YAML_DEPTH or self.nodes > MAX_YAML_NODES:
            raise yaml.YAMLError(f"more than {MAX_YAML_DEPTH} levels or {MAX_YAML_NODES} nodes")
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.ScalarNode) and len(node.value) > MAX_YAML_SCALAR:
            raise yaml.YAMLError(f"text of more than {MAX_YAML_SCALAR} characters")
        self.depth -= 1
        return node

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None and _nodes_below(node, {}) > MAX_YAML_NODES:
            raise yaml.YAMLError(f"aliases stand for more than {MAX_YAML_NODES} nodes")
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"key on line {key.start_mark.line + 1} is no plain text")
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.YAMLError(f"duplicate key `{key.value}` on line {key.start_mark.line + 1}")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _nodes_below(node: Any, known: dict[int, float]) -> float:
    """Count the nodes that a reader who follows every alias would meet; endless where one holds itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")  # met again below itself, before it is counted
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        children = (one for entry in inner for one in (entry if isinstance(entry, tuple) else (entry,)))
        known[id(node)] = 1 + sum(_nodes_below(child, known) for child in children)
    return known[id(node)]
