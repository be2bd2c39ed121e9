"""The tables that references get from the code: options, settings, stages, records, keys, columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from deft.cli.verbs import VERBS

ENCODERS = ("SigLIP", "deft_pair")
TOOLS = {
    "gap-analysis": ("gap_analysis", "vcn_aoi"),
    "embedding": ("embedding", "image_embeddings"),
    "nearest-neighbors": ("tmm", "nearest_neighbors"),
}
MAY_BE = {"SigLIP": "SigLIP, CLIP", "deft_pair": "deft_pair"}


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; a bar inside a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    cells = ([str(cell).replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


# --- the command line ------------------------------------------------------------------------


def flags(verb: str, _: Path) -> str:
    """Return every option of a verb with its default and what it says."""
    return table(("option", "default", "what it does"), _options(verb))


def _options(verb: str) -> Iterator[Sequence[str]]:
    for parameter in _command(verb).params:
        if isinstance(parameter, click.Option) and parameter.name != "json":
            names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
            yield names, _default(parameter), (parameter.help or "").rstrip(".")


def _command(verb: str) -> click.Command:
    from deft.cli.main import deft

    first, *parts = verb.split()
    command = deft.get_command(click.Context(deft), first)
    assert command is not None
    for part in parts:
        assert isinstance(command, click.Group)
        command = command.commands[part]
    return command


def _default(option: click.Option) -> str:
    if option.required:
        return "required"
    empty = option.default is None or not option.show_default or option.is_flag
    return "" if empty else f"`{option.default}`"


def scripts(repository: Path) -> str:
    """Return every script with its verb's sentence and its flags."""
    rows = []
    for path in sorted((repository / "scripts").glob("*.py")):
        verb = path.stem.replace("_", "-")
        parameters = [p for p in _command(verb).params if p.name != "json"]
        names = [p.opts[0] if isinstance(p, click.Option) else str(p.name).upper() for p in parameters]
        rows.append((f"`{path.name}`", VERBS[verb].summary, " ".join(f"`{name}`" for name in names)))
    return table(("script", "what it does", "flags"), rows)


# --- the run ---------------------------------------------------------------------------------


def settings(_: Path) -> str:
    """Return every setting of a plan with its option and its default under either kind of encoder."""
    options = {p.name: p.opts[0] for p in _command("preflight").params if isinstance(p, click.Option)}
    options["num_epochs"] = options["epochs"]
    settled = [_settled(encoder) for encoder in ENCODERS]
    rows = [
        (
            f"`{name}`",
            f"`{options[name]}`" if name in options else "",
            *(_shown(each[name]) for each in settled),
        )
        for name in settled[0]
    ]
    return table(("setting", "option", *(MAY_BE[encoder] for encoder in ENCODERS)), rows)


def _settled(encoder: str) -> dict[str, dict[str, Any]]:
    from deft.preflight.settings import Facts, settle

    spec: dict[str, Any] = {"dataset": {"classify": {}}}
    many = 10**9
    return settle({}, Facts(spec, many, many, encoder, gpus=many, precision="measured"))


def _shown(setting: dict[str, Any]) -> str:
    if setting["source"] == "derived":
        return "derived"
    words = {None: "off", True: "yes", False: "no", "": "the incumbent's checkpoint"}
    value = setting["value"]
    return words[value] if value is None or isinstance(value, bool) or value == "" else f"`{value}`"


def stages(_: Path) -> str:
    """Return the stages in their order with what each does and where it lives."""
    from deft.loop import STAGES
    from deft.run.transitions import LOOP_STOP, ORDER_BASELINE, ORDER_ITERATION

    rows = []
    for name in (*ORDER_ITERATION, LOOP_STOP):
        phases = ["baseline"] if name in ORDER_BASELINE else []
        phases += ["iteration"] if name in ORDER_ITERATION else ["end"]
        sentence = (STAGES[name].__doc__ or "").partition("\n")[0].rstrip(".")
        rows.append((f"`{name}`", ", ".join(phases), sentence, f"`stages/{name}.py`"))
    return table(("stage", "in", "what it does", "module"), rows)


# --- records, tools and files ----------------------------------------------------------------


def record(name: str, _: Path) -> str:
    """Return the keys of a record with their types, as its schema has them."""
    from deft.schemas import schema

    found = schema(name)
    required = set(found.get("required", ()))
    rows = [
        (f"`{key}`", _kind(rule), "yes" if key in required else "")
        for key, rule in found["properties"].items()
    ]
    return table(("key", "type", "always there"), rows)


def _kind(rule: dict[str, Any]) -> str:
    if isinstance(rule.get("const"), list):
        return "a constant"
    if "const" in rule or "enum" in rule:
        values = rule.get("enum", [rule.get("const")])
        return ", ".join("null" if value is None else f"`{value}`" for value in values)
    kind = rule.get("type", "string" if str(rule.get("$ref", "")).endswith("sha256") else "object")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def keys(tool: str, _: Path) -> str:
    """Return the keys of a tool's spec with type and default."""
    from deft.tools.registry import ACTIONS

    schema = ACTIONS[TOOLS[tool]].load_schema()
    rows = []
    for field in dataclasses.fields(schema):
        unset = field.default in (dataclasses.MISSING, "???")
        rows.append((f"`{field.name}`", field.type, "must be given" if unset else f"`{field.default!r}`"))
    return table(("key", "type", "default"), rows)


def columns(_: Path) -> str:
    """Return the columns of a table of rows."""
    from deft.workspace.rows import COLUMNS, REQUIRED

    return table(("column", "must be filled"), ((f"`{c}`", "yes" if c in REQUIRED else "") for c in COLUMNS))


def credentials(_: Path) -> str:
    """Return every credential by name, what it is for and how one gets it."""
    from deft.platforms.catalogue import read_catalogue

    found = read_catalogue().credentials.items()
    rows = [(f"`{name}`", entry["description"], entry["how_to_get"]) for name, entry in found]
    return table(("name", "what for", "how to get it"), rows)


def checks(_: Path) -> str:
    """Return what is checked of each platform before the gate."""
    from deft.platforms.catalogue import read_catalogue

    rows = [(f"`{p.name}`", p.backend, "; ".join(p.checks)) for p in read_catalogue().platforms]
    return table(("platform", "started by", "checked"), rows)


def rca_sections(_: Path) -> str:
    """Return the sections of the RCA report, and who writes which."""
    from deft.report.rca_report import ASKS, SECTIONS

    return _sections(SECTIONS, ASKS)


def mining_sections(_: Path) -> str:
    """Return the sections of the mining report, and who writes which."""
    from deft.report.mining_report import ASKS, SECTIONS

    return _sections(SECTIONS, ASKS)


def _sections(sections: Sequence[str], asks: dict[str, str]) -> str:
    rows = [(name, asks.get(name.lower().replace(" ", "-"), "nothing: filled in")) for name in sections]
    return table(("section", "what is left to write"), rows)


RECORDS = ("state", "log_entry", "plan", "approval", "manifest", "verdicts", "handoff")
PARTS = ("shard plan embedding", "shard plan mining", "shard run")
TABLES: dict[str, Callable[[Path], str]] = {
    **{f"flags-{verb.replace(' ', '-')}": partial(flags, verb) for verb in (*VERBS, *PARTS)},
    **{f"record-{name.replace('_', '-')}": partial(record, name) for name in RECORDS},
    **{f"keys-{tool}": partial(keys, tool) for tool in TOOLS},
    "scripts": scripts,
    "settings": settings,
    "stages": stages,
    "columns": columns,
    "credentials": credentials,
    "checks": checks,
    "rca-sections": rca_sections,
    "mining-sections": mining_sections,
}
