"""What a session is told when it starts: where the plugin is, which credentials exist, what is unfinished.

Standard library only, Python 3.8 or newer: this runs under whatever `python3` the user has.
"""

import json
import os
import re
import shlex
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional

CREDENTIALS = ("NGC_API_KEY", "NGC_KEY", "HF_TOKEN", "BREV_API_TOKEN")
SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
RUN_NAME = re.compile(r"run_\d{8}_\d{6}")
PHASE = re.compile(r"baseline|iter\d{1,4}")
MAX_BYTES = 1024 * 1024
MAX_NOTICE = 400  # characters: about 100 tokens


def parse_payload(raw: bytes) -> Dict[str, object]:
    """Return the event as a dictionary; whatever is not a JSON object counts as empty."""
    try:
        payload = json.loads(raw.decode("utf-8", "replace"))
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def exports(payload: Mapping[str, object], plugin_root: Path) -> str:
    """Return the shell lines for CLAUDE_ENV_FILE: the plugin's folder and the session's id, quoted."""
    lines = [f"export TAO_SKILL_BANK_PATH={shlex.quote(str(plugin_root))}"]
    session = payload.get("session_id")
    if isinstance(session, str) and SESSION_ID.fullmatch(session):
        lines.append(f"export DEFT_SESSION_ID={session}")
    return "".join(line + "\n" for line in lines)


def notice(payload: Mapping[str, object], environment: Mapping[str, str]) -> str:
    """Return at most two short lines for the model; empty when there is nothing to say."""
    folders = list(_workspaces(payload, environment))
    lines = [_credentials_line(environment, folders), *map(_unfinished_line, folders)]
    return "\n".join([line for line in lines if line][:2])[:MAX_NOTICE]


def _workspaces(payload: Mapping[str, object], environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the folders where a workspace is looked for, each once."""
    here = payload.get("cwd")
    home = environment.get("HOME")
    candidates = [
        Path(here) if isinstance(here, str) and here else None,
        Path(here, "demo-workspace") if isinstance(here, str) and here else None,
        Path(environment["CLAUDE_PROJECT_DIR"]) if environment.get("CLAUDE_PROJECT_DIR") else None,
        Path(home, "workspace") if home else None,
    ]
    seen = []  # type: List[Path]
    for candidate in candidates:
        if candidate is not None and candidate not in seen:
            seen.append(candidate)
            yield candidate


def _credentials_line(environment: Mapping[str, str], folders: List[Path]) -> str:
    present = credentials_present(environment, folders)
    return f"deft: credentials present: {', '.join(present)}" if present else ""


def credentials_present(environment: Mapping[str, str], folders: List[Path]) -> List[str]:
    """Return the names of the credentials that the environment or a folder's `.env` sets."""
    names = {name for name in CREDENTIALS if environment.get(name)}
    for folder in folders:
        names.update(_names_in(folder / ".env"))
    return [name for name in CREDENTIALS if name in names]


def _names_in(environment_file: Path) -> List[str]:
    """Return which credentials an `.env` file sets; their values are not kept."""
    text = _read(environment_file) or ""
    return [
        name for name in CREDENTIALS if re.search(rf"^(?:export )?{name}=[\"']?[^\s\"']", text, re.MULTILINE)
    ]


def _unfinished_line(workspace: Path) -> str:
    """Return one line on the newest run if it has not stopped; a damaged state says nothing here."""
    results = workspace / "results"
    try:
        runs = sorted(name for name in os.listdir(str(results)) if RUN_NAME.fullmatch(name))
    except OSError:
        return ""
    state = parse_payload((_read(results / runs[-1] / "deft_state.json") or "").encode()) if runs else {}
    if not state or state.get("stop_reason") is not None or state.get("status") == "complete":
        return ""
    run = str(results / runs[-1])
    if not run.isprintable():
        return ""
    return f"deft: unfinished run{_where(state)}: `deft status {shlex.quote(run)}`"


def _where(state: Mapping[str, object]) -> str:
    iterations = state.get("iterations")
    phase = list(iterations)[-1] if isinstance(iterations, dict) and iterations else None
    return f" (in {phase})" if isinstance(phase, str) and PHASE.fullmatch(phase) else ""


def _read(path: Path) -> Optional[str]:
    try:
        with open(str(path), "rb") as stream:
            return stream.read(MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
