"""Put beside a finished report what it was made with, and the conversation, without secrets.

Standard library only, Python 3.8 on. `rca_config/` or `mining_config/` holds the skill, the references, the
plan and the pinned versions; `claude_session.jsonl` is the transcript so far. Only their owner may read them.
"""

from __future__ import annotations

import contextlib
import os

from deft.guard import engagement
from deft.guard.redaction import Redactor, known_secrets
from deft.guard.reports import MINING, RCA

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Iterable, Iterator, Mapping

CONFIG = {RCA: "rca_config", MINING: "mining_config"}
SKILL = {RCA: "tao-analyze-gaps-visual-changenet", MINING: "tao-mine-aoi-images"}
TRANSCRIPT = "claude_session.jsonl"
TEXTS = (".md", ".yaml", ".yml", ".json", ".txt")


class NotPackaged(Exception):
    """A package that cannot be made; the text says why."""


def package(
    report: str, plugin_root: str, transcript: str, environment: Mapping[str, str], session: str | None
) -> list[str]:
    """Write the package of a report beside it and return the paths; what is there is replaced."""
    folder, name = os.path.split(report)
    redactor = Redactor(known_secrets(environment, list(_environment_files(folder, environment, session))))
    written = []
    config = os.path.join(folder, CONFIG[name])
    for source, relative in _sources(name, plugin_root, folder, session):
        written.append(_copy(source, os.path.join(config, relative), folder, redactor))
    if os.path.isfile(transcript):
        written.append(_copy(transcript, os.path.join(folder, TRANSCRIPT), folder, redactor))
    return written


def _environment_files(folder: str, environment: Mapping[str, str], session: str | None) -> Iterator[str]:
    """Yield every `.env` that may belong to this run: up from the report, the project's, the plan's."""
    plan = engagement.plan_of(session)
    starts = [folder, environment.get("CLAUDE_PROJECT_DIR") or "", str(plan["workspace"]) if plan else ""]
    for start in filter(None, starts):
        place = os.path.realpath(start)
        while True:
            yield os.path.join(place, ".env")
            if place == os.path.dirname(place):
                break
            place = os.path.dirname(place)


def _sources(name: str, plugin_root: str, folder: str, session: str | None) -> Iterator[tuple[str, str]]:
    """Yield each file to be copied with its place in the package."""
    skill = os.path.join(plugin_root, "skills", SKILL[name])
    for root, inside in ((skill, "skill"), (os.path.join(plugin_root, "references"), "references")):
        for path in _files(root):
            yield path, os.path.join(inside, os.path.relpath(path, root))
    yield os.path.join(plugin_root, "versions.yaml"), "versions.yaml"
    plan = _plan(folder, session)
    if plan:
        yield plan, "plan.json"


def _files(root: str) -> Iterable[str]:
    for place, _, names in os.walk(root):
        for name in sorted(names):
            if name.endswith(TEXTS):
                yield os.path.join(place, name)


def _plan(folder: str, session: str | None) -> str | None:
    """Return the plan of the step or the run that a folder lies in, else of the session's run."""
    place = os.path.realpath(folder)
    while place != os.path.dirname(place):
        if os.path.isfile(os.path.join(place, "plan.json")):
            return os.path.join(place, "plan.json")
        place = os.path.dirname(place)
    plan = engagement.plan_of(session)
    found = os.path.join(engagement.run_folder(plan), "plan.json") if plan else ""
    return found if os.path.isfile(found) else None


def _make_folder(folder: str, root: str) -> None:
    """Make a private folder below `root`, through no link."""
    if folder != root and os.path.islink(folder):
        raise NotPackaged("{} leads elsewhere".format(folder))
    if folder != root:
        _make_folder(os.path.dirname(folder), root)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)


def _copy(source: str, target: str, root: str, redactor: Redactor) -> str:
    """Copy a text line by line, without its secrets, to a file that only its owner may read."""
    folder = os.path.dirname(target)
    _make_folder(folder, root)
    temporary = os.path.join(folder, ".{}.tmp".format(os.urandom(8).hex()))
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            with open(source, encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    stream.write(redactor.clean(line))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    return target
