"""Where recorded paths are now: a run folder may have been copied or moved since it was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deft.errors import Corruption
from deft.workspace.layout import RunFolder
from deft.workspace.safe_path import fault_of


@dataclass(frozen=True)
class Places:
    """A run folder as it lies here, and the workspace path under which it was recorded."""

    run: RunFolder
    recorded_workspace: Path
    recorded_run: Path

    @classmethod
    def of(cls, run: RunFolder, plan: dict[str, Any]) -> Places:
        """Read from the plan where the run stood when it was written."""
        workspace = Path(plan["workspace"])
        return cls(run, workspace, workspace / "results" / plan["run_id"])

    def found(self, recorded: str | Path) -> Path:
        """Return where a recorded absolute path is now; a path outside the workspace stays as it is."""
        path = Path(recorded)
        fault = fault_of(str(path))
        if fault:
            raise Corruption(f"path in a record {fault}", value=ascii(str(path))[:200])
        if path.is_relative_to(self.recorded_run):
            return self.run.root / path.relative_to(self.recorded_run)
        if path.is_relative_to(self.recorded_workspace):
            return self.run.workspace.root / path.relative_to(self.recorded_workspace)
        return path

    def existing(self, recorded: str | Path) -> Path:
        """Return where a recorded path is now; as it was recorded where a copy does not hold it."""
        found = self.found(recorded)
        return found if found.exists() else Path(recorded)

    def recorded(self, found: Path) -> str:
        """Return the name under which a path of this run folder was recorded."""
        return str(self.recorded_run / found.relative_to(self.run.root))
