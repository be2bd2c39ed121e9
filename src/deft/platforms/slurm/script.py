"""The batch script: claims its folder, carries out the commands, and says last what came of them.

Its first act is to make a folder that only one process can make, which proves at once that the node sees the
workspace and that no earlier start of the same job is at work. Its last act is the result file, which takes
its name in one step. No setting of the user stands in it but as a quoted word.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

CANNOT_WRITE = 73
HEADER, FOOTER = "deft-result 1", "end"

PROLOGUE = """\
if ! mkdir "$job/started" 2>/dev/null; then
  if [ -d "$job/started" ]; then
    echo "deft: this job was started before, so this start does nothing" >&2
    exit 0
  fi
  echo "deft: node $(hostname) cannot write to $job" >&2
  exit @CANNOT_WRITE@
fi
child=
trap '[ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM

carry_out() { # LOG COMMAND...: run it, pass a request to stop on to it, keep its exit code
  local log="$1"
  shift
  "$@" </dev/null >>"$log" 2>&1 &
  child=$!
  until wait "$child"; code=$?; ! kill -0 "$child" 2>/dev/null; do :; done
  codes="$codes $code"
  [ "$code" -eq 0 ] || finish
}

finish() { # the result: exit codes, and the hash of every file
  trap '' TERM
  local result="$job/.$nonce.ok.tmp"
  {
    echo "@HEADER@"
    echo "nonce $nonce"
    echo "codes$codes"
    cd "$job/work" && find . -type f ! -name '.*.tmp' -print0 | sort -z | xargs -0 -r sha256sum --
    echo "@FOOTER@"
  } >"$result" && sync "$result" && mv "$result" "$job/$nonce.ok"
  exit "$code"
}
"""


def batch_script(
    job: Path, nonce: str, commands: Sequence[tuple[Path, Sequence[str]]], environment: Mapping[str, str]
) -> str:
    """Return the script that runs commands (each with the file that takes what it prints) in order."""
    prologue = PROLOGUE.replace("@CANNOT_WRITE@", str(CANNOT_WRITE))
    prologue = prologue.replace("@HEADER@", HEADER).replace("@FOOTER@", FOOTER)
    exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    lines = [shlex.join(["carry_out", str(log), *words]) for log, words in commands]
    head = ["#!/bin/bash", f"job={shlex.quote(str(job))}", f"nonce={shlex.quote(nonce)}", "codes="]
    return "\n".join([*head, *exports, prologue, *lines, "finish", ""])
