"""`python -m deft.tools CATEGORY ACTION [-e SPEC] [key=value …]`; `--batch CALLS` runs several.

The last line is `Execution status: PASS` or `FAIL`; the exit code is 0, 1, or 2 for words that name no
command.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from deft import files
from deft.errors import DeftError, UsageError
from deft.tools.grammar import Override, compose, parse_override, to_yaml, typed_overrides
from deft.tools.output import FAILED, PASSED, CallLog, copied_to_job_log, say
from deft.tools.registry import ACTIONS, actions_of, categories

USAGE = "deft tool CATEGORY ACTION [-e SPEC] [--cfg job] [key=value ...]"


@dataclass(frozen=True)
class Command:
    """What one command line or one entry of a batch asks for; overrides in words are not parsed yet."""

    category: str
    action: str
    spec: Path | None
    words: tuple[str, ...] = ()
    typed: tuple[Override, ...] = ()
    only_show: bool = False

    def overrides(self) -> list[Override]:
        """Return all overrides; a word that does not parse is a UsageError."""
        return [*map(parse_override, self.words), *self.typed]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, or a batch, and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--batch"] and len(words) == 2:
        return run_batch(Path(words[1]))
    try:
        command = read_command(words)
    except SystemExit as end:
        return int(end.code or 0)
    with copied_to_job_log():
        return carry_out(command)


def read_command(words: Sequence[str]) -> Command:
    """Read a command line; argparse prints the usage and exits with 2 when it names no command."""
    outer = argparse.ArgumentParser(prog="deft tool", usage=USAGE)
    outer.add_argument("category", choices=categories())
    category = outer.parse_args(list(words[:1])).category
    inner = argparse.ArgumentParser(prog=category, allow_abbrev=False)
    inner.add_argument("action", choices=actions_of(category))
    inner.add_argument("-e", "--experiment_spec_file", type=Path, metavar="FILE")
    inner.add_argument("-c", "--cfg", choices=["job"], help="show the configuration and do nothing")
    inner.add_argument("overrides", nargs="*", metavar="key=value")
    given = inner.parse_intermixed_args(list(words[1:]))
    return Command(
        category,
        given.action,
        given.experiment_spec_file,
        words=tuple(given.overrides),
        only_show=given.cfg == "job",
    )


def run_batch(path: Path) -> int:
    """Run the calls of a JSON list in order, each into its own log; stop at the first that fails."""
    try:
        records = files.read_json(path)
    except DeftError as error:
        say(f"ERROR {error}")
        say(FAILED)
        return 1
    try:
        return next((code for record in records if (code := _run_logged(record))), 0)
    except OSError as error:  # a call's own log takes no words: the platform hears them instead
        say(f"ERROR the file system refused: {error}")
        say(FAILED)
        return 1


def _run_logged(record: dict[str, Any]) -> int:
    command = Command(
        record["category"],
        record["action"],
        Path(record["spec"]) if record.get("spec") else None,
        typed=tuple(typed_overrides(record.get("overrides") or {})),
    )
    log_path = Path(record["log"])
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with open(log_path, "a", encoding="utf-8", errors="replace") as log:
        stream = CallLog(log, sys.stdout)
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            code = carry_out(command)
        stream.finish()
    return code


def carry_out(command: Command) -> int:
    """Run a command, say what went wrong without a traceback where it is the input, end with the status."""
    passed = _attempt(command)
    say(PASSED if passed else FAILED)
    return 0 if passed else 1


def _attempt(command: Command) -> bool:
    try:
        _run(command)
    except DeftError as error:
        say(f"ERROR {error}")
    except OmegaConfBaseException as error:
        say("ERROR " + str(error).strip().partition("\n")[0])
    except OSError as error:
        say(f"ERROR the file system refused: {error}")
    except KeyboardInterrupt:
        say("ERROR interrupted")
    except Exception:
        logging.getLogger("deft.tools").exception("this is a defect of deft, please report it with this text")
    else:
        return True
    return False


def _run(command: Command) -> None:
    action = ACTIONS.get((command.category, command.action))
    if action is None:
        raise UsageError(
            "no such command", value=f"{command.category} {command.action}", hint=f"usage: {USAGE}"
        )
    config = compose(action.load_schema(), command.spec, command.overrides())
    if command.only_show:
        say(to_yaml(config).rstrip("\n"))
    else:
        action.load_function()(config)


if __name__ == "__main__":
    sys.exit(main())
