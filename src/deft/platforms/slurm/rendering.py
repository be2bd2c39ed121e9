"""Turn the tool calls of a stage into what one job is given: paths in its own folder, and its script."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deft import files
from deft.errors import UsageError
from deft.platforms.base import ToolCall
from deft.platforms.containers import (
    HEAD,
    Image,
    container_spec,
    container_words,
    image_of,
    paths_read,
    weights_are_staged,
)
from deft.platforms.credentials import HUB_TOKEN, credential
from deft.platforms.docker_arguments import mounts_for
from deft.platforms.embedded import batch_record
from deft.platforms.slurm.following import SIGNAL_SECONDS_BEFORE_LIMIT
from deft.platforms.slurm.jobs import Job
from deft.platforms.slurm.script import batch_script
from deft.platforms.slurm.settings import PYXIS, SlurmSettings

Commands = list[tuple[Path, Sequence[str]]]
SOURCE = Path(__file__).resolve().parents[3]


def outputs_folder(calls: Sequence[ToolCall]) -> Path:
    """Return the folder that holds everything the calls write."""
    written = [path for call in calls for path in (call.writes, call.log.parent)]
    return Path(os.path.commonpath(written))


def signature_of(calls: Sequence[ToolCall]) -> str:
    """Return the hash of what the calls are to do; a job of another signature is not taken over."""
    return files.sha256_of_record(
        [
            {
                **batch_record(call),
                "specification": files.sha256_of_file(call.spec) if call.spec else None,
                "key": call.identity.key if call.identity else "",
            }
            for call in calls
        ]
    )


def moved(call: ToolCall, root: Path, job: Job) -> ToolCall:
    """Return the call with every path below the outputs' folder put into the job's copy of it."""

    def move(value: Any) -> Any:
        if not isinstance(value, Path | str) or not Path(value).is_absolute():
            return value
        path = Path(value)
        return type(value)(job.work / path.relative_to(root)) if path.is_relative_to(root) else value

    return replace(
        call,
        spec=move(call.spec),
        overrides={key: move(value) for key, value in call.overrides.items()},
        writes=move(call.writes),
        log=move(call.log),
    )


def write_script(
    job: Job, calls: Sequence[ToolCall], settings: SlurmSettings, images: Mapping[str, Any]
) -> None:
    """Write the job's script and what it reads, for its owner alone to change and run."""
    commands, environment = (
        (_container_commands(job, calls, settings, images), {})
        if settings.engine == PYXIS
        else (_engine_command(job, calls, settings), _engine_environment())
    )
    common = {"DEFT_PROGRESS": "1", "SLURM_EXPORT_ENV": "ALL", **_token(job, calls)}
    text = batch_script(job.folder, job.nonce, commands, {**common, **environment})
    files.write_text(job.script, text, mode=0o700)


def _token(job: Job, calls: Sequence[ToolCall]) -> dict[str, str]:
    """Lend the hub's token as a file of the job where weights must be fetched; the script names the file."""
    if all(weights_are_staged(container_spec(call)) for call in calls):
        return {}
    value = credential(HUB_TOKEN, [folder for call in calls for folder in call.reads])
    return {"HF_TOKEN_PATH": str(job.lend_token(value))} if value else {}


def _engine_command(job: Job, calls: Sequence[ToolCall], settings: SlurmSettings) -> Commands:
    """Run all calls in one process, so that torch is loaded once; their specs lie in the job's folder."""
    records = []
    for number, call in enumerate(calls):
        spec = job.folder / f"spec-{number}.yaml"
        if call.spec:
            files.write_text(spec, files.read_text(call.spec))
        records.append(batch_record(replace(call, spec=spec if call.spec else None)))
    batch = files.write_json(job.folder / "calls.json", records)
    python = settings.python or sys.executable
    return [(job.output, [python, "-m", "deft.tools", "--batch", str(batch)])]


def _engine_environment() -> dict[str, str]:
    """Let the nodes find this package; the engine needs nothing else of the user's environment."""
    return {"PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"}


def _container_commands(
    job: Job, calls: Sequence[ToolCall], settings: SlurmSettings, images: Mapping[str, Any]
) -> Commands:
    """Run each call as a step in its image, which sees what it reads and the job's folder."""
    commands: Commands = []
    for number, call in enumerate(calls):
        content = container_spec(call)
        spec = files.write_yaml(job.folder / f"spec-{number}.yaml", content)
        flags = [
            f"--container-image={enroot_name(image_of(call.category, images))}",
            f"--container-mounts={','.join(_mounts(call, content, job))}",
            "--no-container-mount-home",
            "--no-container-remap-root",
        ]
        files.make_folder(call.log.parent)
        files.append_line(call.log, f"{HEAD}of job {job.name}\n".encode())
        step = ["srun", "--ntasks=1", "--kill-on-bad-exit=1", *_cpus(settings)]
        commands.append((call.log, [*step, *flags, *container_words(call, spec)]))
    return commands


def _cpus(settings: SlurmSettings) -> list[str]:
    """Return the job's CPUs for a step: since Slurm 22.05 a step does not inherit them."""
    return [f"--cpus-per-task={settings.cpus}"] if settings.cpus else []


def _mounts(call: ToolCall, spec: Mapping[str, Any], job: Job) -> list[str]:
    """Return what the call reads, read-only, and the job's folder, as pyxis takes them."""
    read = [path for path in paths_read(call, spec) if not path.is_relative_to(job.folder)]
    found = mounts_for(read, job.folder)
    for path in (path for mount in found for path in (mount.source, mount.target)):
        if any(sign in str(path) for sign in ":,"):
            raise UsageError("pyxis cannot mount a folder with a colon or a comma in its path", value=path)
    return [f"{mount.source}:{mount.target}{'' if mount.writable else ':ro'}" for mount in found]


def enroot_name(image: Image) -> str:
    """Return an image as enroot reads it: `docker://REGISTRY#NAME:sha256:…`.

    Older versions of enroot take `name@` for a user; a digest in the place of a tag is understood by all.
    """
    repository, _, digest = image.reference.partition("@")
    registry, slash, name = repository.partition("/")
    if slash and ("." in registry or ":" in registry):
        return f"docker://{registry}#{name}:{digest}"
    return f"docker://{repository}:{digest}"


def submission_words(job: Job, calls: Sequence[ToolCall], settings: SlurmSettings) -> list[str]:
    """Return the words of sbatch: nothing of the user's environment, no requeue, TERM before the limit."""
    return [
        "--parsable",
        "--no-requeue",
        "--export=NONE",
        "--nodes=1",
        "--ntasks=1",
        f"--job-name={job.name}",
        f"--chdir={job.folder}",
        f"--output={job.output.name}",
        f"--signal=B:TERM@{SIGNAL_SECONDS_BEFORE_LIMIT}",
        *settings.options(max(call.gpus for call in calls)),
        str(job.script),
    ]
