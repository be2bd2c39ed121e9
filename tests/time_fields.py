"""What may differ between two runs of the same plan: times, and the hashes and names made of them."""

from __future__ import annotations

import json
import re

from deft import files
from deft.workspace.layout import RunFolder

TIME_FIELDS = (
    *("ts", "seconds", "duration_sec", "date", "time", "time_per_epoch", "time_per_step", "eta"),
    *("started_at", "ended_at"),
)
RESULTS_FOLDER = re.compile(r"\d{4}-\d{2}-\d{2}_\d{6}")
KEY = re.compile(r'"key": ?"[0-9a-f]{64}"')
HASH = re.compile(r"[0-9a-f]{64}")
FIELD = re.compile(rf'"({"|".join(TIME_FIELDS)})": ?("[^"]*"|[0-9.e-]+)')
SIZE_OF_MANIFEST = re.compile(
    r'("path": ?"[^"]*(?:manifest|status)\.json",\s*"sha256": ?"[^"]*",\s*"size": ?)\d+'
)


def tree_without_times(run: RunFolder) -> dict[str, bytes]:
    """Return every file of a run by its name, times taken out.

    A hash is replaced by what it is the hash of (a file of the run, a line of the log), so that two trees
    are equal only where their hashes point to the same things. A stage's key hashes names that hold times.
    """
    paths = [path for path in files.files_below(run.root) if path.name != ".loop_log.lock"]
    paths = [path for path in paths if path.suffix != ".log"]  # a resumed attempt's tool log is longer
    contents = {path.relative_to(run.root).as_posix(): path.read_bytes() for path in sorted(paths)}
    meaning = meaning_of_hashes(contents)
    for line in run.log.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        meaning[entry["sha256"]] = f"hash of line {entry['seq']}"
    return {
        RESULTS_FOLDER.sub("TIME", name): without_times(content, meaning)
        for name, content in contents.items()
    }


def _subject(name: str) -> str:
    """Name a file; status files are told apart by their times alone, so they share one name."""
    last = name.rpartition("/")[2]
    return last if last == "status.json" else RESULTS_FOLDER.sub("TIME", name)


def meaning_of_hashes(contents: dict[str, bytes]) -> dict[str, str]:
    """Return, for the sha256 of each file, what it is the hash of."""
    return {
        files.sha256_of_bytes(contents[name]): f"hash of {_subject(name)}"
        for name in sorted(contents, reverse=True)
    }


def without_times(content: bytes, meaning: dict[str, str]) -> bytes:
    """Take the times out of a file, and put what they mean in the place of hashes."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return content
    text = RESULTS_FOLDER.sub("TIME", text)
    text = KEY.sub('"key": "KEY"', text)
    text = FIELD.sub(r'"\1": TIME', text)
    text = SIZE_OF_MANIFEST.sub(r"\1SIZE", text)
    return HASH.sub(lambda found: meaning.get(found[0], found[0]), text).encode("utf-8")
