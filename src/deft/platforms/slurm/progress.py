"""How far a job is, as it says itself: the lines it adds to its output, or a container's status file."""

from __future__ import annotations

from deft.platforms.slurm.jobs import Job
from deft.progress import Task, parse_progress_line

BLOCK_BYTES = 1024 * 1024


class OutputWatch:
    """Reads what a job's output has grown by since the last look."""

    def __init__(self, job: Job, task: Task) -> None:
        self._path, self._task = job.output, task
        self._offset, self._rest = 0, b""

    def show(self) -> None:
        """Move the bar to what the newest progress line says; no output is no fault."""
        try:
            with open(self._path, "rb") as stream:
                stream.seek(self._offset)
                block = stream.read(BLOCK_BYTES)
        except OSError:
            return
        self._offset += len(block)
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            step = parse_progress_line(line.decode("utf-8", errors="replace"))
            if step is not None:
                self._task.reach(step.done, step.total)
