"""One line of advice for each failure that a command's output shows and its exit code may hide.

Standard library only, Python 3.8 on.
"""

from __future__ import annotations

import re

from deft.guard.events import SILENT, advised

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Any, Mapping

    from deft.guard.events import Answer

MAX_OUTPUT = 200_000
MAX_LINES = 3
# Only what a step printed or logged is looked at: a document that quotes an error is none.
CONCERNS = re.compile(
    r"\bdeft\b|\bdocker\b|/scripts/\w+\.py|\.log\b|_summary\.txt|_breakdown\.txt|status\.json"
)

FAILURES = (
    (
        r"filter_by_label is enabled but the 'label' column is missing|label.{0,80}column.{0,80}not found"
        r"|filter_by_label.{0,80}disabled|missing.{0,80}label.{0,80}column|proceeding without filter",
        "The label filter switched itself off: a table has no `label` column, so mined rows may cross "
        "labels; give both embedding tables their labels and mine again.",
    ),
    (
        r"embeddings of different encoders|only one of two embedding tables names its encoder"
        r"|(?:embedding|vector).{0,40}dimension.{0,40}mismatch|incompatible dimension for x and y",
        "The embedding tables come from different encoders and cannot be compared: embed both with one spec.",
    ),
    (
        r"unreachable.{0,40}kpi|no threshold achieves|cannot meet.{0,40}recall",
        "No threshold reaches the recall that the target asks for: write the short report of an unreachable "
        "KPI, recommend retraining or relabelling, and skip the spot check.",
    ),
    (
        r"mined.{0,60}\b0\s+(?:unique|rows?|images?)\b|unique items saved:\s*0\b|selected 0 weak samples"
        r"|empty dataframe|\b(?:zero|no) rows\b",
        "The step came to zero rows: check its input table, the label filter and min_similarity first.",
    ),
    (
        r"could not select device driver|no cuda-capable device|found no nvidia driver|nvidia-smi has failed"
        r"|nvidia-smi: (?:command )?not found|cuda (?:is )?not available|invalid runtime name: nvidia",
        "There is no GPU where the command ran: `deft doctor --platform PLATFORM` says what is missing; "
        "the embedded platform needs none.",
    ),
    (
        r"(?:filenotfounderror|no such file or directory).{0,300}\.(?:csv|ya?ml|parquet|jpe?g|png)\b",
        "A file is not there where the command ran: its path is wrong, or not mounted under the same path "
        "in a container; use absolute paths below the workspace.",
    ),
    (
        r"\bnan\b.{0,60}\b(?:mean|score)|\b(?:mean|score).{0,60}\bnan\b",
        "Scores hold NaN: the model or its input is broken; do not use these figures.",
    ),
    (
        r"execution status: fail",
        "The tool says `Execution status: FAIL`: it failed, whatever its exit code was.",
    ),
    (
        r"traceback \(most recent call last\)",
        "The output holds a traceback: the step failed, whatever its exit code was; its last line says why.",
    ),
)
PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), line) for pattern, line in FAILURES)


def advice_on(output: str) -> list[str]:
    """Return at most three lines of advice on what a command printed."""
    looked_at = (
        output if len(output) <= MAX_OUTPUT else output[: MAX_OUTPUT // 2] + output[-MAX_OUTPUT // 2 :]
    )
    return [line for pattern, line in PATTERNS if pattern.search(looked_at)][:MAX_LINES]


def after_bash(event: Mapping[str, Any]) -> Answer:
    """Answer a PostToolUse or PostToolUseFailure event of Bash in an engaged session."""
    given = event.get("tool_input")
    command = given.get("command") if isinstance(given, dict) else None
    if not isinstance(command, str) or not CONCERNS.search(command):
        return SILENT
    return advised(str(event.get("hook_event_name")), advice_on(_output(event)))


def _output(event: Mapping[str, Any]) -> str:
    response = event.get("tool_response")
    parts = [event.get("error")]
    if isinstance(response, dict):
        parts += [response.get("stdout"), response.get("stderr")]
    return "\n".join(part for part in parts if isinstance(part, str))
