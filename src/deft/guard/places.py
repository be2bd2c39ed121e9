"""Which files nobody but `deft` may write while the gate is engaged.

Standard library only, Python 3.8 on.
"""

from __future__ import annotations

import os
import re

from deft.guard import approval

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Any, Mapping

RESULTS = r"/(?:results/run_\d{8}_\d{6}|(?:rca|mining|routing)_results/\d{4}-\d\d-\d\d_\d{6})"
RUN_FILE = re.compile(RESULTS + r"(?:/(?P<rest>.*))?$", re.DOTALL)
RECORDS = ("deft_state.json", "loop_log.jsonl", "approval.json", "facts.json")
PROSE = re.compile(r"(?:.*/)?(?:RCA_Report|Mining_Report|(?:baseline|iter\d+)_summary)\.md", re.DOTALL)
CLIENT_FILES = re.compile(r"/\.claude(?:\.json$|/(?!plans/|projects/[^/]*/memory/))|/\.mcp\.json$")
GIT_FILES = re.compile(r"/\.git/(?![A-Z_]+MSG$)|/\.gitconfig$|/\.pre-commit-config\.ya?ml$")
START_FILES = re.compile(
    r"/\.(?:bash|zsh)(?:rc|env|_profile|_login|_logout|_aliases)$|/\.z?profile$|/\.pam_environment$|"
    r"/\.envrc$|/\.config/(?:git|systemd|fish|autostart)/|/\.(?:kube|docker|ssh|husky|codex|agents)/"
)
SYSTEM_FILES = re.compile(
    r"/(?:etc|usr|bin|sbin|lib|lib64|boot|var/spool)/|.*/(?:site|dist)-packages/", re.DOTALL
)
PLAIN_FILES = (".md", ".txt", ".json", ".jsonl", ".yaml", ".yml", ".csv", ".html", ".log")
INPUTS = ("specs", "train", "kpi", "images", "augmentation", ".env")
AGREED = "it belongs to what the approved plan was made from"


def why_guarded(path: str, plugin_root: str, plan: Mapping[str, Any] | None) -> str | None:
    """Return why a file is not to be written by hand, or None if it may be.

    `plan` is the approved plan whose run is not finished, if any: its inputs are guarded too.
    """
    for spelling in {os.path.abspath(path), os.path.realpath(path)}:
        reason = _why(spelling, plugin_root) or _why_input(spelling, plan)
        if reason:
            return reason
    return None


def _why(path: str, plugin_root: str) -> str | None:
    run_file = RUN_FILE.search(path)
    in_results = run_file is not None and not PROSE.fullmatch(run_file["rest"] or "")
    if in_results or os.path.basename(path) in RECORDS:
        return "records and results of a run are written by deft"
    if _within(path, approval.state_home()):
        return "plans and approvals are written by deft"
    if _within(path, plugin_root):
        return "it is a file of this plugin"
    if CLIENT_FILES.search(path) or GIT_FILES.search(path) or START_FILES.search(path):
        return "it decides what commands and hooks do"
    if SYSTEM_FILES.match(path) or _within(path, _environments()) or _is_started(path):
        return "other commands start it"
    return None


def _environments() -> str:
    """Return where the private environments of `deft` lie."""
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "deft")


def _is_started(path: str) -> bool:
    """Say whether a file is, or may come to be, a program or what git makes a repository of."""
    folder, name = os.path.split(path)
    if folder in (os.environ.get("PATH") or "").split(os.pathsep):
        return True
    if name == "HEAD" or (name == "config" and os.path.exists(os.path.join(folder, "HEAD"))):
        return True
    is_program = os.path.isfile(path) and os.access(path, os.X_OK)
    return is_program and os.path.splitext(name)[1] not in PLAIN_FILES


def _why_input(path: str, plan: Mapping[str, Any] | None) -> str | None:
    if plan is None:
        return None
    workspace = os.path.realpath(plan["workspace"])
    return AGREED if any(_within(path, os.path.join(workspace, name)) for name in INPUTS) else None


def _within(path: str, folder: str) -> bool:
    places = {os.path.abspath(folder), os.path.realpath(folder)}
    return any(path == place or path.startswith(place.rstrip("/") + "/") for place in places)
