"""`deft VERB …`: loads one verb, runs it, and turns what goes wrong into one message and one exit code."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from deft import __version__
from deft.cli.output import emit_error, json_option, say
from deft.cli.verbs import VERBS
from deft.errors import (
    Corruption,
    DeftError,
    EnvironmentMissing,
    InputRefused,
    UsageError,
    path_fault,
    storage_fault,
)
from deft.untrusted import untrusted

INTERRUPTED = 130


class VerbGroup(click.Group):
    """The verbs of `deft`, imported one at a time: `deft --help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one verb with the option `--json`; None if the table does not name it."""
        if cmd_name not in VERBS:
            return None
        module, _, attribute = VERBS[cmd_name].target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        _add_json_option(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(verb.section for verb in VERBS.values()):
            rows = [(name, verb.summary) for name, verb in VERBS.items() if verb.section == section]
            with formatter.section(section):
                formatter.write_dl(rows, col_max=28)


def _add_json_option(command: click.Command) -> None:
    if isinstance(command, click.Group):
        for child in command.commands.values():
            _add_json_option(child)
    elif command.add_help_option and not any(parameter.name == "json" for parameter in command.params):
        command.params.append(json_option())


@click.command(
    cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, message="deft %(version)s")
def deft() -> None:
    """Lower the false alarm rate of an optical inspection line with no defect missed.

    Start with `deft demo`, or with `deft preflight WORKSPACE` on your own data.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code (references/exit-codes.md)."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return _exit_code(deft.main(arguments, prog_name="deft", standalone_mode=False))
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message())
        return UsageError.exit_code
    except click.ClickException as error:
        return _report(_usage_error(error), arguments)
    except DeftError as error:
        return _report(error, arguments)
    except OSError as error:
        fault = storage_fault(error) or path_fault(error)
        return _crashed(error, arguments) if fault is None else _report(fault, arguments)
    except Exception as error:  # noqa: BLE001 - the one place where a fault of ours becomes a line and a file
        return _crashed(error, arguments)


def _exit_code(result: object) -> int:
    return result if isinstance(result, int) else 0


def _report(error: DeftError, arguments: Sequence[str]) -> int:
    if not (error.hint or error.says_all):
        error.hint = _hint_of_family(error, arguments)
    emit_error(error, as_json="--json" in arguments or not sys.stdout.isatty())
    return error.exit_code


def _hint_of_family(error: DeftError, arguments: Sequence[str]) -> str:
    """Return what helps with any error of a family (references/exit-codes.md); nothing where that differs."""
    if isinstance(error, InputRefused | UsageError):
        return f"mend this, then repeat: {shlex.join(['deft', *arguments])}"
    if isinstance(error, Corruption):
        return "deft audit RUN names the first record that disagrees; restore that file from a backup"
    if isinstance(error, EnvironmentMissing):
        return "deft doctor"
    logged = isinstance(error.value, Path) and error.value.is_file()
    return f"read {error.value}" if logged else ""


def _usage_error(error: click.ClickException) -> UsageError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "deft"
    return UsageError(error.format_message().rstrip("."), hint=f"{command} --help")


def _crashed(error: BaseException, arguments: Sequence[str]) -> int:
    """Leave the traceback in a private file and report one error that names it."""
    details = "".join(traceback.format_exception(error))
    fact = f"internal error: {type(error).__name__}: {untrusted(str(error).partition(chr(10))[0])}"
    try:
        where = f"in {_write_crash(details)}"
    except OSError:
        click.echo(details, err=True)
        where = "above"
    return _report(DeftError(fact, hint=f"the traceback is {where}; please report it"), arguments)


def _write_crash(details: str) -> Path:
    from deft.files import write_text
    from deft.workspace.layout import state_home

    name = f"{time.strftime('%Y%m%d_%H%M%S')}-{os.getpid()}.txt"
    return write_text(state_home() / "crashes" / name, details, mode=0o600)
