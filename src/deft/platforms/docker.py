"""Carry out tool calls in TAO's own images on this machine's docker daemon."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from deft import files
from deft.errors import DeftError
from deft.platforms import docker_client as client
from deft.platforms.base import Check, Platform, ToolCall
from deft.platforms.containers import (
    IMAGE_SETTINGS,
    IMAGES,
    Image,
    container_spec,
    container_words,
    image_of,
    paths_read,
    progress_of,
    require_carried,
    require_passed,
    stays_on_host,
    weights_are_staged,
)
from deft.platforms.credentials import HUB_TOKEN, credential, lend, take_back
from deft.platforms.docker_arguments import (
    PATTERNS,
    SPEC,
    Container,
    Mount,
    container_name,
    limits_from,
    mounts_for,
    require_settings,
)
from deft.platforms.docker_checks import docker_checks
from deft.platforms.docker_container import carry_out
from deft.platforms.docker_leftovers import LOG, end_left, end_other_attempts
from deft.platforms.embedded import EmbeddedPlatform
from deft.platforms.gap_metrics import complete_metrics
from deft.platforms.image_keys import Keys, fit_spec, known_keys
from deft.progress import Progress
from deft.workspace.layout import RunFolder


class DockerPlatform(Platform):
    """One container a call: walled in, named after the call, found again after a kill."""

    name: ClassVar[str] = "docker"
    known_settings: ClassVar[tuple[str, ...]] = (*IMAGE_SETTINGS, *PATTERNS)

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        """Take the user's settings; one that is unknown or does not parse is refused."""
        super().__init__(settings)
        require_settings(self.settings)

    def checks(self, workspace: Path) -> list[Check]:
        """Look for client, daemon, images, GPU and write access inside the image, memory and disk."""
        return docker_checks(self.settings, workspace, self._walls(), self._keys)

    def pinned(self) -> dict[str, Any]:
        """Return both images by digest, as far as somebody pinned them."""
        found = {}
        for category, (setting, _) in IMAGES.items():
            with contextlib.suppress(DeftError):  # the checks say it with its cure
                found[setting] = image_of(category, self.settings).reference
        return found

    def run(self, calls: Sequence[ToolCall], progress: Progress) -> None:
        """Carry out each call in a container of its own; gap analysis stays here unless settings differ."""
        for call in calls:
            files.make_folder(call.log.parent)
            if stays_on_host(call, self.settings):
                EmbeddedPlatform().run([call], progress)
            else:
                self._run_in_container(call, progress)

    def end(self, run: RunFolder) -> list[str]:
        """Stop the containers of a run that are at work, each with the time that a checkpoint needs."""
        return end_left({"deft.run": run.root.name, "deft.plan": _plan_hash(run.root)})

    def _run_in_container(self, call: ToolCall, progress: Progress) -> None:
        require_carried(call)
        end_other_attempts(_labels(call), call.log)
        image = image_of(call.category, self.settings)
        keys = self._keys(image, call.category, call.action)
        spec, notes = fit_spec(container_spec(call), call.category, keys)
        container = self._container(call, image, spec)
        for note in notes:
            files.append_line(call.log, f"deft: {note}\n".encode())
        limit = self.settings.get("time_limit_minutes")
        with progress.task(call.title or call.name, total=None, unit="epoch") as task:
            try:
                code = carry_out(
                    container,
                    call,
                    lambda: task.reach(*progress_of(call)),
                    time_limit=60.0 * int(limit) if limit else None,
                )
            finally:
                take_back(container.name)
        require_passed(call, code)
        complete_metrics(call, progress)

    def _container(self, call: ToolCall, image: Image, spec: Mapping[str, Any]) -> Container:
        """Write the image's spec beside the log and return the container that reads it."""
        path = files.write_yaml(call.log.with_suffix(".container.yaml"), spec)
        files.make_folder(call.writes)
        name = _name(call)
        network, secrets = self._network(call, spec, name)
        return replace(
            self._walls(),
            name=name,
            image=image,
            words=container_words(call, SPEC),
            mounts=[*mounts_for(paths_read(call, spec), call.writes), Mount(path.resolve(), SPEC)],
            labels={**_labels(call), "deft.spec": files.sha256_of_file(path)},
            gpus=int(self.settings.get("gpus", call.gpus)),
            network=network,
            secrets=secrets,
        )

    def _network(self, call: ToolCall, spec: Mapping[str, Any], name: str) -> tuple[str, dict[str, Path]]:
        """Return no network and no secret where all weights are here; else both, and say so in the log."""
        if weights_are_staged(spec):
            return "none", {}
        network = str(self.settings.get("network", "bridge"))
        token = credential(HUB_TOKEN, call.reads)
        user = self._walls().limits.user
        secrets = {HUB_TOKEN: lend(HUB_TOKEN, token, name, user)} if token else {}
        note = f"deft: network {network}: {spec['model_path']} is not on this machine\n"
        files.append_line(call.log, note.encode())
        return network, secrets

    def _walls(self) -> Container:
        """Return a container of these settings that does nothing yet."""
        limits = limits_from(self.settings, f"{os.getuid()}:{os.getgid()}")
        return Container(name="", image=Image(""), words=[], mounts=[], limits=limits)

    def _keys(self, image: Image, category: str, action: str) -> Keys:
        """Return the keys that the image knows, asking it on the first time."""
        return known_keys(image, category, action, lambda: self._ask(image, category, action))

    def _ask(self, image: Image, category: str, action: str) -> str:
        with tempfile.TemporaryDirectory(prefix="deft-") as folder:
            spec = files.write_yaml(Path(folder) / "spec.yaml", {})
            os.chmod(folder, 0o755)
            asking = replace(
                self._walls(),
                name=container_name(
                    "keys", category, os.getpid(), digest=files.sha256_of_bytes(os.urandom(9))
                ),
                image=image,
                words=[category, action, "-e", str(SPEC), "--cfg=job"],
                mounts=[Mount(spec.resolve(), SPEC)],
                gpus=int(self.settings.get("gpus", 1)),
            )
            return client.docker("run", "--rm", *asking.options(), timeout=300)


def _name(call: ToolCall) -> str:
    """Return the name that only this call has: stage and attempt for a reader, the rest as a hash."""
    identity = call.identity
    whose = (identity.run, identity.phase, identity.stage, identity.attempt) if identity else ("step",)
    what = [call.category, call.action, str(call.writes.absolute()), str(call.log.absolute())]
    return container_name(*whose, digest=files.sha256_of_record([*map(str, whose), *what]))


def _labels(call: ToolCall) -> dict[str, str]:
    identity = call.identity
    if identity is None:
        return {"deft.call": call.name}
    return {
        "deft.run": identity.run,
        "deft.phase": identity.phase,
        "deft.stage": identity.stage,
        "deft.attempt": str(identity.attempt),
        "deft.plan": next((_plan_hash(folder) for folder in _runs_of(call, identity.run)), ""),
        "deft.call": call.name,
        LOG: str(call.log.absolute()),
    }


def _runs_of(call: ToolCall, run: str) -> Iterator[Path]:
    """Yield the run's folder that the call writes into, if there is a plan in it."""
    folders = (folder for folder in call.writes.absolute().parents if folder.name == run)
    yield from (folder for folder in folders if RunFolder(folder).plan.is_file())


def _plan_hash(run: Path) -> str:
    """Return the hash of the plan that was approved for a run; many workspaces may have a run of one name."""
    return files.sha256_of_record(files.read_json(RunFolder(run).plan))
