"""`deft tool CATEGORY ACTION …`: the words go to `deft.tools` exactly as they were typed."""

from __future__ import annotations

import click


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def tool(words: tuple[str, ...]) -> int:
    """Run one tool call by hand, in the container's own grammar: `-e SPEC KEY=VALUE …`."""
    from deft.tools.__main__ import main

    return main(list(words))
