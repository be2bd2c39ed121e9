"""Plans that wait for the user, and signed records of what the user decided.

Standard library only and Python 3.8 on: the UserPromptSubmit hook runs this without the package's
environment. What stops what: the signature stops a record that was written, edited or copied by anything
but this code; it does not stop a hostile process of the same user, which can read the key.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import re
import stat
import time

from deft.guard.words import is_approval, is_refusal

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Any

VALID_DAYS = 7
DAY_SECONDS = 86400
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class ApprovalFault(Exception):
    """An approval that does not hold; the text says why."""


class PlanChanged(ApprovalFault):
    """The approval holds, but for another plan than this one."""


def now() -> int:
    """Return the time in whole seconds."""
    return int(time.time())


# --- places ------------------------------------------------------------------------------------------


def state_home() -> str:
    """Return the user's folder of pending plans, approvals and the key."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "deft")


def _place(kind: str, *names: str) -> str:
    return os.path.join(state_home(), kind, *names[:-1], names[-1] + ".json")


def _workspace_key(workspace: str) -> str:
    return hashlib.sha256(os.path.realpath(workspace).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _safe(name: str) -> str:
    if not isinstance(name, str) or not SAFE_NAME.fullmatch(name):
        raise ApprovalFault("not a usable name: {!r}".format(name))
    return name


def canonical(record: object) -> bytes:
    """Return the one spelling of a record that is hashed and signed: sorted keys, no blanks, no NaN."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def plan_sha256(plan: dict[str, Any]) -> str:
    """Return the hash that an approval is bound to."""
    return hashlib.sha256(canonical(plan)).hexdigest()


def read_record(path: str) -> dict[str, Any] | None:
    """Return a JSON object from a file, or None when there is none or it is damaged."""
    try:
        with open(path, "rb") as stream:
            record = json.loads(stream.read().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def write_record(path: str, record: dict[str, Any]) -> None:
    """Write a private JSON file in one durable step."""
    folder = os.path.dirname(path)
    _make_private(folder)
    temporary = _write_new(folder, json.dumps(record, indent=2, ensure_ascii=False).encode("utf-8") + b"\n")
    os.replace(temporary, path)
    _sync_folder(folder)


def _make_private(folder: str) -> None:
    """Make a folder and its missing parents, each for this user only and durable before anything is in it."""
    if os.path.isdir(folder):
        return
    parent = os.path.dirname(folder)
    _make_private(parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    _sync_folder(parent)


def _write_new(folder: str, content: bytes) -> str:
    path = os.path.join(folder, ".{}.tmp".format(os.urandom(8).hex()))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
    except OSError as error:
        os.unlink(path)
        error.filename = path  # a call on a descriptor does not know it
        raise
    finally:
        os.close(descriptor)
    return path


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        error.filename = folder
        raise
    finally:
        os.close(descriptor)


# --- the key and the signature -------------------------------------------------------------------------


def _key() -> bytes:
    """Return this user's key, made on first use; a key that others may read is refused."""
    path = os.path.join(state_home(), "key")
    if not os.path.lexists(path):
        _make_key(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        status = os.fstat(descriptor)
        content = os.read(descriptor, 64)
    finally:
        os.close(descriptor)
    if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.geteuid():
        raise ApprovalFault("the approval key is open to others: {} (chmod 600)".format(path))
    if len(content) != 32:
        raise ApprovalFault("the approval key is damaged: {} (remove it and approve again)".format(path))
    return content


def _make_key(path: str) -> None:
    _make_private(os.path.dirname(path))
    temporary = _write_new(os.path.dirname(path), os.urandom(32))
    try:
        os.link(temporary, path)  # whole or not at all; of two first users one wins and both read its key
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)
    _sync_folder(os.path.dirname(path))


def signed(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with its signature."""
    body = {name: value for name, value in record.items() if name != "hmac"}
    return dict(body, hmac=hmac.new(_key(), canonical(body), hashlib.sha256).hexdigest())


def is_signed(record: dict[str, Any]) -> bool:
    """Say whether a record carries this user's signature."""
    try:
        return hmac.compare_digest(
            str(record.get("hmac")).encode("utf-8"), signed(record)["hmac"].encode("ascii")
        )
    except (ValueError, TypeError, OSError):
        return False


# --- plans and decisions ---------------------------------------------------------------------------------


def save_pending(plan: dict[str, Any], session_id: str | None = None) -> str:
    """Keep a plan, in place of any older one of its workspace, until the user decides; returns its hash."""
    workspace, digest = os.path.realpath(plan["workspace"]), plan_sha256(plan)
    _safe(plan["run_id"])
    write_record(_place("plans", digest), plan)
    pointer = {"plan_sha256": digest, "workspace": workspace, "session_id": session_id, "saved_at": now()}
    write_record(_place("pending", _workspace_key(workspace)), pointer)
    if session_id:
        write_record(_place("sessions", _safe(session_id)), pointer)
    return digest


def stored_plan(digest: str) -> dict[str, Any] | None:
    """Return a plan by its hash; None when there is none or it is no longer what was hashed."""
    plan = read_record(_place("plans", _safe(digest)))
    return plan if plan is not None and plan_sha256(plan) == digest else None


def pending_plan(workspace: str) -> dict[str, Any] | None:
    """Return the plan that waits for this workspace, or None."""
    pointer = read_record(_place("pending", _workspace_key(workspace)))
    return stored_plan(pointer["plan_sha256"]) if pointer else None


def drop_pending(workspace: str) -> None:
    """Let no plan of this workspace wait any longer."""
    path = _place("pending", _workspace_key(workspace))
    if os.path.exists(path):
        os.unlink(path)


def plan_of_session(session_id: str) -> dict[str, Any] | None:
    """Return the plan that waits in a client's session and that nobody has approved yet, or None."""
    pointer = read_record(_place("sessions", _safe(session_id)))
    plan = pending_plan(pointer["workspace"]) if pointer else None
    if pointer is None or plan is None or not os.path.isdir(plan["workspace"]):
        return None
    if plan_sha256(plan) != pointer["plan_sha256"]:
        return None
    try:
        check(decision_on(plan), plan)
    except ApprovalFault:
        return plan
    return None


def decision_on(plan: dict[str, Any]) -> dict[str, Any] | None:
    """Return the recorded decision on a plan's run, or None."""
    return read_record(_place("approvals", _workspace_key(plan["workspace"]), _safe(plan["run_id"])))


def decide(
    plan: dict[str, Any], decision: str, by: str, session_id: str | None = None, days: int = VALID_DAYS
) -> dict[str, Any]:
    """Record `approved` or `refused`, bound to the plan's hash, run, workspace and expiry; returns it."""
    workspace = os.path.realpath(plan["workspace"])
    record = signed(
        {
            "version": 1,
            "decision": decision,
            "by": by,
            "plan_sha256": plan_sha256(plan),
            "run_id": plan["run_id"],
            "kind": plan.get("kind", "loop"),
            "workspace": workspace,
            "workspace_inode": os.stat(workspace).st_ino,
            "session_id": session_id,
            "decided_at": _stamp(now()),
            "expires_at": _stamp(now() + days * DAY_SECONDS),
        }
    )
    write_record(_place("approvals", _workspace_key(workspace), _safe(plan["run_id"])), record)
    return record


def _stamp(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def check(record: dict[str, Any] | None, plan: dict[str, Any], in_use: bool = False) -> None:
    """Raise ApprovalFault unless a record is a valid approval of exactly this plan, here and now.

    An expiry is the last moment to begin: an approval that is `in_use` has begun in time and holds on.
    """
    if record is None:
        raise ApprovalFault("nobody approved this plan")
    if not is_signed(record):
        raise ApprovalFault("the approval is forged or was edited")
    if record["run_id"] != plan["run_id"]:
        raise ApprovalFault("the approval was copied from run {}".format(record["run_id"]))
    workspace = os.path.realpath(plan["workspace"])
    if not os.path.isdir(workspace):
        raise ApprovalFault("the workspace of the approval is gone ({})".format(workspace))
    if record["workspace"] != workspace or record["workspace_inode"] != os.stat(workspace).st_ino:
        raise ApprovalFault("the approval was given for another workspace ({})".format(record["workspace"]))
    if record["plan_sha256"] != plan_sha256(plan):
        raise PlanChanged("the plan was changed after its approval")
    if record["decision"] != "approved":
        raise ApprovalFault("the user refused this plan")
    if not in_use and record["expires_at"] <= _stamp(now()):
        raise ApprovalFault("the approval expired at {}".format(record["expires_at"]))


def hear(prompt: str, session_id: str) -> dict[str, Any] | None:
    """Record what the user's message decides about the plan that waits in this session; None if nothing."""
    plan = plan_of_session(session_id)
    if plan is None:
        return None
    if is_approval(prompt):
        return decide(plan, "approved", "user-words", session_id)
    if is_refusal(prompt):
        record = decide(plan, "refused", "user-words", session_id)
        drop_pending(plan["workspace"])
        return record
    return None
