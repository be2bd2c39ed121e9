"""The seam: a tool call is data, a platform carries it out (architecture.md "The seam")."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from deft.errors import UsageError
from deft.progress import Progress
from deft.workspace.layout import RunFolder

OWN_ENCODER = "deft_pair"
PRECISIONS = ("32-true", "bf16-mixed")  # that this package's own engine trains in


@dataclass(frozen=True)
class CallIdentity:
    """Whose call it is: a container or a job bears it, so that a runner that was killed finds it again.

    `key` is the hash of everything the stage reads: what was begun under another key is not taken over.
    """

    run: str
    phase: str
    stage: str
    attempt: int
    key: str = ""


@dataclass(frozen=True)
class ToolCall:
    """One call of one of TAO's tools: what it is given, what it reads, where it writes."""

    category: str
    action: str
    spec: Path | None
    overrides: Mapping[str, object]
    reads: tuple[Path, ...]
    writes: Path
    log: Path
    title: str = ""
    gpus: int = 0
    identity: CallIdentity | None = None

    @property
    def name(self) -> str:
        """Return what a person calls it: `visual_changenet train`."""
        return f"{self.category} {self.action}"

    def arguments(self) -> list[str]:
        """Return the call in the container's own grammar (tao-commands.md section 0)."""
        spec = ["-e", str(self.spec)] if self.spec else []
        return [self.category, self.action, *spec, *(f"{k}={v}" for k, v in self.overrides.items())]


@dataclass(frozen=True)
class Check:
    """What one look at a machine found, and the cure where it failed."""

    name: str
    passed: bool
    detail: str
    cure: str = ""


class Platform(ABC):
    """A place that can carry out tool calls."""

    name: ClassVar[str]
    default_encoder: ClassVar[str] = "SigLIP"
    known_settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        """Take the user's settings of this platform (platforms/settings.py); an unknown one is refused."""
        self.settings = dict(settings or {})
        unknown = sorted(set(self.settings) - set(self.known_settings))
        if unknown:
            known = ", ".join(self.known_settings) or "none"
            raise UsageError(
                f"unknown setting of platform {self.name}", value=", ".join(unknown), hint=f"known: {known}"
            )

    @property
    def runs_own_engine(self) -> bool:
        """Say whether this package's engine carries out the calls, and not an image of TAO."""
        return self.default_encoder == OWN_ENCODER

    @abstractmethod
    def checks(self, workspace: Path) -> list[Check]:
        """Look at everything the platform needs; each failure is one line with its cure."""

    def pinned(self) -> dict[str, Any]:
        """Return settings that a plan records though the user did not write them: images by digest."""
        return {}

    def probe_precision(self) -> str | None:
        """Return the precision that trains fastest here; None where the platform does not choose."""
        return None

    def end(self, run: RunFolder) -> list[str]:
        """End what a runner that was killed left at work elsewhere; return the names of what was ended.

        What it has done so far stays where the next runner finds it. Here nothing outlives its runner.
        """
        return []

    @abstractmethod
    def run(self, calls: Sequence[ToolCall], progress: Progress) -> None:
        """Carry out the calls in order; raise StageFailed with the end of the failing call's log."""
