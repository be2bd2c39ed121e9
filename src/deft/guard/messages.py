"""What the model is told when the gate refuses a call: the fact, and the command to use instead.

Standard library only, Python 3.8 on.
"""

from __future__ import annotations

import re
import shlex

from deft.guard import engagement

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Any

READING_IS_FREE = "Reading is free: ls, cat, head, grep, find, git log, nvidia-smi, deft status, deft doctor."
NO_PLAN = (
    "Nothing is approved in this session. Next: deft preflight WORKSPACE, show its summary, end your turn."
)
WAITING = "The plan {} waits: show its summary and end your turn; only the user's own message approves it."
INSTEAD = (
    (r"docker|podman|nerdctl|apptainer|singularity|enroot|ctr", "deft starts containers itself: {run}"),
    (r"sbatch|srun|salloc|scancel|qsub|bsub", "deft submits jobs itself: {run}"),
    (r"kubectl|helm|oc|ray", "deft talks to the cluster itself: {run}"),
    (
        r"claude|codex|gemini|cursor-agent|aider",
        "A nested client is a launch of its own; use the Agent tool.",
    ),
    (
        r"redirection|tee|cp|mv|rm|ln|dd|truncate|sed|install|rsync|chmod|Write|Edit|MultiEdit|NotebookEdit",
        "Use Edit or Write for files of your own; deft writes those of the run: {run}",
    ),
    (r"deft", "An approval comes from the user's own message; {run}"),
)
OTHERWISE = "Use a verb of deft: {run}. Work that has nothing to do with the run belongs in another session."


def refusal(reason: str, program: str, plan: dict[str, Any] | None) -> str:
    """Return the text of a refusal in a session with this plan, if any."""
    fact = "deft gate: refused, because {}.".format(reason)
    if plan is None:
        return " ".join([fact, NO_PLAN, READING_IS_FREE])
    if not engagement.is_approved(plan):
        return " ".join([fact, WAITING.format(plan["run_id"]), READING_IS_FREE])
    following = "deft run {} --until judgement".format(shlex.quote(engagement.run_folder(plan)))
    command = str(plan.get("command") or following)
    return "{} {}".format(fact, instead_of(program).format(run=command))


def instead_of(program: str) -> str:
    """Return what to use instead of a program; `{run}` stands for the command that goes on with the run."""
    return next((text for names, text in INSTEAD if re.fullmatch(names, program)), OTHERWISE)
