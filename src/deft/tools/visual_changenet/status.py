"""What an action leaves beside its results: `status.json` and `experiment.yaml`.

`status.json` tells of one run: it is written anew by each, and a resumed training continues the records up to
its checkpoint, so that it reads as if never interrupted. Its time fields are `TIME_FIELDS`; all else follows
from the spec and the data. Unlike the containers', a run that ends well closes with a SUCCESS record.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from deft import files
from deft.errors import InputRefused, UsageError
from deft.tools.output import say
from deft.workspace.checkpoints import status_records

STATUS_FILE = "status.json"
TIME_FIELDS = ("date", "time", "time_per_epoch", "time_per_step", "eta")
_FAILURES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (OmegaConfBaseException, "Configuration error"),
    (NotImplementedError, "Feature not implemented"),
    ((InputRefused, UsageError, ValueError, TypeError), "Parameter validation error"),
    (OSError, "File system error"),
    ((KeyboardInterrupt, SystemExit), "User/System interruption"),
)


class StatusLog:
    """The records of one run; the last figures are repeated in every later record, as TAO does."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / STATUS_FILE
        self._records: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._records)

    def continue_after(self, count: int) -> None:
        """Take over the first `count` records on disk: those that a checkpoint knows of."""
        self._records = status_records(self._path.parent)[:count]

    def write(
        self,
        message: str,
        *,
        status: str = "RUNNING",
        kpi: Mapping[str, float] | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Add one record."""
        moment = datetime.now()
        record: dict[str, Any] = {
            "date": f"{moment.month}/{moment.day}/{moment.year}",
            "time": f"{moment.hour}:{moment.minute}:{moment.second}",
            "status": status,
            "verbosity": "ERROR" if status == "FAILURE" else "INFO",
            "message": message,
        }
        figures = dict(kpi) if kpi is not None else self._last_figures()
        if figures:
            record["kpi"] = figures
        self._records.append(record | dict(data or {}))
        files.write_text(self._path, "".join(json.dumps(line) + "\n" for line in self._records))

    def _last_figures(self) -> dict[str, float]:
        return dict(self._records[-1].get("kpi", {})) if self._records else {}


@contextmanager
def recorded(config: DictConfig, action: str) -> Iterator[tuple[Path, StatusLog]]:
    """Run an action in its results folder: `experiment.yaml` first, a SUCCESS or FAILURE record last."""
    folder = results_folder(config, action)
    say(f"{action.capitalize()} results will be saved at: {folder}")
    write_experiment(config, folder)
    log = StatusLog(folder)
    try:
        yield folder, log
        log.write(f"{action.capitalize()} finished successfully.")
        log.write(f"{action.capitalize()} is complete.", status="SUCCESS")
    except BaseException as error:
        _record_failure(log, error)
        raise


def _record_failure(log: StatusLog, error: BaseException) -> None:
    prefix = next((text for kinds, text in _FAILURES if isinstance(error, kinds)), "Unexpected error")
    try:
        log.write(f"{prefix}: {' '.join(str(error).split())}", status="FAILURE")
    except OSError as unwritable:  # a full disk must not hide the first error
        say(f"status.json cannot be written: {unwritable}")


def results_folder(config: DictConfig, action: str) -> Path:
    """Return `<action>.results_dir` if set, else `<results_dir>/<action>`; neither is refused."""
    own = config[action].results_dir
    if own:
        return Path(own)
    if not config.results_dir:
        raise UsageError(f"neither results_dir nor {action}.results_dir is set", hint="results_dir=PATH")
    return Path(config.results_dir) / action


def write_experiment(config: DictConfig, folder: Path) -> None:
    """Save the merged spec as `experiment.yaml`, its `results_dir` being the folder in effect."""
    merged = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(merged, dict)
    files.write_yaml(folder / "experiment.yaml", merged | {"results_dir": str(folder)})
