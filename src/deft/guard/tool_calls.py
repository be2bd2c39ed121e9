"""One call of a tool while the gate is engaged: may it go ahead?

Standard library only, Python 3.8 on. Before approval only reading passes and the verbs of `deft` that read;
after it, side effects on the workspace, the run and the machine pass through `deft` alone.
"""

from __future__ import annotations

import contextlib
import os
import re

from deft.guard import engagement, places
from deft.guard.events import BadEvent, text_field
from deft.guard.launches import Judge, Refused

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Any, Iterator

    from deft.guard.shell_words import Word

# These write nothing, or (the last line) show a plan, stop, and run only once that very plan is approved.
READING_VERBS = (
    *("doctor", "preflight", "status", "next", "audit", "compare"),
    *("validate-csv", "list-tao-platforms", "resolve-versions-key"),
    *("analyze-gaps", "route", "mine", "train", "evaluate", "infer"),
)
READING_PART = {"shard": ["plan"]}  # of these verbs this part alone
WRITING_TOOLS = ("Write", "Edit", "MultiEdit", "NotebookEdit")
DELAYED_TOOLS = re.compile(r"Cron(?:Create|Update)|ScheduleWakeup|RemoteTrigger")
COMMAND_KEYS = re.compile(
    r"(?i)command|cmd|script|^code|code$|shell|bash|^args?$|argv|arguments|program|exec|cell|python|^(?:run|input|source)$"
)
# What hooks.json never asks about: these write nothing and start nothing.
READING_TOOLS = re.compile(
    "Read|Glob|Grep|LS|NotebookRead|TodoWrite|TaskCreate|TaskGet|TaskList|TaskUpdate|TaskOutput|TaskStop|"
    "BashOutput|KillShell|AskUserQuestion|EnterPlanMode|ExitPlanMode|WebFetch|WebSearch|ToolSearch|"
    "ListMcpResourcesTool|ReadMcpResourceTool|CronList|CronDelete|ReportFindings|LSP|StructuredOutput"
)
SUBAGENTS = ("Agent", "Task")


def calls_preflight(command: str, folder: str, plugin_root: str) -> bool:
    """Say whether `deft preflight` is among the commands, up to what cannot be read."""
    verbs = []  # type: list[str]

    def note(verb: str, arguments: list[Word], folders: list[str]) -> bool:
        verbs.append(verb)
        return True

    with contextlib.suppress(Refused):
        Judge(folder, plugin_root, note, lambda *_: True).judge(command)
    return "preflight" in verbs


class ToolCall:
    """One call of a tool in a session where the gate is engaged."""

    def __init__(self, event: dict[str, Any], session: str | None, plugin_root: str) -> None:
        self.tool = text_field(event, "tool_name")
        self.folder = str(event.get("cwd") or "/")
        self.session, self.plugin_root = session, plugin_root
        given = event.get("tool_input")
        if not isinstance(given, dict):
            raise BadEvent("the event has no tool_input")
        self.given = given  # type: dict[str, Any]

    def judge(self) -> None:
        """Raise Refused unless the call may go ahead, BadEvent if it is not to be understood."""
        if self.tool == "Skill" or READING_TOOLS.fullmatch(self.tool):
            return
        if DELAYED_TOOLS.fullmatch(self.tool):
            raise Refused("{} would speak in the user's place later".format(self.tool), self.tool)
        if self.tool == "Bash" or (self.tool == "Monitor" and "command" in self.given):
            self.judge_command(text_field(self.given, "command"))
        elif self.tool in WRITING_TOOLS:
            self.judge_path(self.given.get("file_path") or self.given.get("notebook_path"))
        elif self.plan() is None:
            raise Refused("{} may have an effect".format(self.tool[:60]), self.tool)
        elif self.tool not in SUBAGENTS:
            self.judge_values()

    def plan(self) -> dict[str, Any] | None:
        return engagement.approved_plan(self.session)

    def judge_command(self, command: str) -> None:
        Judge(self.folder, self.plugin_root, self.may_run, self.may_do).judge(command)

    def judge_path(self, path: object) -> None:
        if not isinstance(path, str) or not path:
            raise BadEvent("the event has no file_path")
        plan = self.plan()
        if plan is None:
            raise Refused("{} writes a file".format(self.tool), self.tool)
        reason = self.why_guarded(path, plan)
        if reason is not None:
            raise Refused(
                "{} is not written by hand: {}".format(os.path.basename(path)[:60], reason), self.tool
            )

    def why_guarded(self, path: str, plan: dict[str, Any]) -> str | None:
        unfinished = plan if engagement.unfinished_state(plan) is not None else None
        return places.why_guarded(os.path.join(self.folder, path), self.plugin_root, unfinished)

    def judge_values(self) -> None:
        """Judge what a tool of another server is given: commands as commands, paths as paths."""
        for key, value in _texts(self.given):
            if COMMAND_KEYS.search(key):
                self.judge_command(value)
            elif "/" in value:
                self.judge_path(value)

    # --- what a command may do -------------------------------------------------------------------------

    def may_run(self, verb: str, arguments: list[Word], folders: list[str]) -> bool:
        """Say whether a verb of `deft` may run now."""
        words = [word.literal() or "" for word in arguments]
        if verb == "approve" or (verb == "doctor" and _may_name_a_client(words)):
            return False
        if verb in READING_VERBS or words[:1] == READING_PART.get(verb):
            return True
        if verb == "tool" and _only_shows(words):
            return True
        if self.plan() is not None:
            return True
        return any(self.joins(folder, words) for folder in folders[:1])

    def joins(self, folder: str, words: list[str]) -> bool:
        """Say whether the folder that a verb is given, or else the one it runs in, is of an approved run."""
        given = [os.path.join(folder, word) for word in words if word and not word.startswith("-")]
        places = [place for place in given if os.path.isdir(place)] or [folder]
        return self.session is not None and any(engagement.join(self.session, place) for place in places)

    def may_do(self, name: str, arguments: list[Word], folders: list[str]) -> bool:
        """Say whether another program may do something after approval: it has nothing to do with the run."""
        words = [word.literal() for word in arguments]
        plan = self.plan()
        if plan is None or len(folders) != 1 or None in words:
            return False
        paths = [str(word) for word in words if word and not word.startswith("-")]
        if name == "git" and paths[:1] in (["add"], ["commit"]) and words[0] == paths[0]:
            return True
        untouched = all(self.why_guarded(os.path.join(folders[0], path), plan) is None for path in paths)
        return name in ("mkdir", "touch") and untouched


def _may_name_a_client(words: list[str]) -> bool:
    """Say whether `deft doctor` may be told which program to start; a word only the shell knows may do it."""
    return any(not word or word.startswith("--client") for word in words)


def _only_shows(words: list[str]) -> bool:
    plain = [word for word in words[:2] if word and not word.startswith("-")]
    shows = "--cfg=job" in words or words[2:4] in (["--cfg", "job"], ["-c", "job"])
    return len(plain) == 2 and plain == words[:2] and shows and "--" not in words


def _texts(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, key)
