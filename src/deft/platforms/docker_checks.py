"""What is looked at before anybody says yes to containers: each failure is one line with its cure.

Nothing is pulled and nothing is written: what a container could write is asked with `test -w`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deft import files
from deft.errors import DeftError
from deft.platforms import docker_client as client
from deft.platforms.base import Check
from deft.platforms.containers import IMAGE_ID, Image, image_of, spec_checks
from deft.platforms.credentials import HUB_TOKEN, REGISTRY_KEYS, names_present
from deft.platforms.docker_arguments import Container, Mount, container_name, require_mountable
from deft.platforms.embedded import disk_check
from deft.platforms.image_keys import Keys, fit_spec
from deft.workspace.layout import Workspace

TRAIN, DATA = "train image", "data services image"
IMAGES = {TRAIN: "visual_changenet", DATA: "embedding"}
ACTIONS = {
    TRAIN: [("visual_changenet", "train"), ("visual_changenet", "inference")],
    DATA: [("embedding", "image_embeddings")],
}
UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}
LookUp = Callable[[Image, str, str], Keys]


def docker_checks(
    settings: Mapping[str, Any], workspace: Path, walls: Container, look_up: LookUp
) -> list[Check]:
    """Return every check; what cannot be looked at because of an earlier failure is left out."""
    checks = [_client_check()]
    if checks[0].passed:
        daemon, facts = _daemon_check()
        checks.append(daemon)
        if facts is not None:
            checks += _image_checks(settings, workspace, walls, look_up)
            checks.append(_memory_check(walls, int(facts.get("MemTotal", 0))))
    limit = settings.get("time_limit_minutes")
    return [
        *checks,
        disk_check(workspace),
        Check("time limit", True, f"{limit} minutes a call" if limit else "none"),
        *spec_checks(Workspace(workspace).baseline_spec),
    ]


def _client_check() -> Check:
    fact, cure = client.NO_CLIENT
    found = client.has_client()
    return Check("docker client", found, "found" if found else fact, cure)


def _daemon_check() -> tuple[Check, dict[str, Any] | None]:
    try:
        facts = client.daemon_facts()
    except DeftError as error:
        return Check("docker daemon", False, error.fact, error.hint or "docker info"), None
    return Check("docker daemon", True, f"answers, version {facts.get('ServerVersion')}"), facts


# --- images ----------------------------------------------------------------------------------


def _image_checks(
    settings: Mapping[str, Any], workspace: Path, walls: Container, look_up: LookUp
) -> Iterator[Check]:
    """Look at the images, and inside each that is here at what a container could do."""
    here: dict[str, Image] = {}
    for title, category in IMAGES.items():
        check = _image_check(title, category, settings)
        yield check
        if check.passed:
            here[title] = image_of(category, settings)
    yield _credentials_check(workspace, all_here=len(here) == len(IMAGES))
    for title, image in here.items():
        yield _write_check(title, replace(walls, image=image), workspace)
    gpus = int(settings.get("gpus", 1))
    if TRAIN in here and gpus:
        check = _gpu_check(replace(walls, image=here[TRAIN], gpus=gpus))
        yield check
        if not check.passed:  # an image does not answer without the GPU that it is given
            return
    for title, image in here.items():
        yield _keys_check(title, image, workspace, look_up)


def _image_check(title: str, category: str, settings: Mapping[str, Any]) -> Check:
    try:
        image = image_of(category, settings)
        facts = client.image_facts(image.reference)
    except DeftError as error:
        return Check(title, False, f"{error.fact}: {error.value}", error.hint)
    if facts is None:
        is_id = IMAGE_ID.fullmatch(image.reference)
        cure = "docker load or docker import it here" if is_id else f"docker pull {image.reference}"
        return Check(title, False, f"{image.reference} is not on this machine", cure)
    known = [facts["Id"], *(facts.get("RepoDigests") or [])]
    holds = any(image.digest == entry.rpartition("@")[2] for entry in known)
    cure = f"docker pull {image.reference}"
    return Check(title, holds, image.reference if holds else "the daemon names another digest", cure)


def _credentials_check(workspace: Path, *, all_here: bool) -> Check:
    """Name the credentials that are set; a key of the registry is needed only to pull."""
    names = names_present((*REGISTRY_KEYS, HUB_TOKEN), [workspace])
    enough = all_here or any(name in REGISTRY_KEYS for name in names)
    cure = f"put {REGISTRY_KEYS[0]} into {workspace}/.env, and: docker login (user $oauthtoken, that key)"
    return Check("credentials", enough, ", ".join(names) or "none set, none needed" * all_here, cure)


# --- inside a container ----------------------------------------------------------------------


def _write_check(title: str, container: Container, workspace: Path) -> Check:
    """Ask as the container's user whether the results could be written, without writing."""
    results = Workspace(workspace).results
    place = (results if results.is_dir() else workspace).resolve()
    name, user = f"write as {container.limits.user} ({title})", container.limits.user
    try:
        require_mountable(place)
        mount = Mount(place, place, writable=True)
        _inside(replace(container, entrypoint="test", words=["-w", str(place)], mounts=[mount]))
    except client.CommandFailed:
        cure = f"sudo chown -R {user} {place}, or set user in specs/platforms.yaml"
        return Check(name, False, f"user {user} cannot write into {place}", cure)
    except DeftError as error:
        return Check(name, False, f"{error.fact}: {error.value}", error.hint)
    return Check(name, True, str(place))


def _gpu_check(container: Container) -> Check:
    try:
        listed = _inside(replace(container, entrypoint="nvidia-smi", words=["-L"]))
    except DeftError as error:
        detail = error.fact if error.hint == client.GPU_CURE else f"{error.fact}: {error.value}"
        return Check("GPU in the container", False, detail, client.GPU_CURE)
    found = sum(line.startswith("GPU ") for line in listed.splitlines())
    return Check("GPU in the container", found >= container.gpus, f"{found} seen", client.GPU_CURE)


def _inside(container: Container) -> str:
    """Run one short command in the walls that a call has."""
    name = container_name("check", os.getpid(), digest=os.urandom(6).hex())
    return client.docker("run", "--rm", *replace(container, name=name).options(), timeout=120)


def _keys_check(title: str, image: Image, workspace: Path, look_up: LookUp) -> Check:
    """Ask the image for its keys, and hold the baseline's spec against those of a training."""
    name = f"keys of the {title}"
    notes: list[str] = []
    try:
        known = {action: look_up(image, *action) for action in ACTIONS[title]}
        spec = Workspace(workspace).baseline_spec
        if title == TRAIN and spec.is_file():
            _, notes = fit_spec(files.read_yaml(spec), *_training(known))
    except DeftError as error:
        return Check(
            name, False, f"{error.fact}: {error.value}", error.hint or f"docker run {image.reference}"
        )
    count = sum(map(len, known.values()))
    return Check(name, True, "; ".join(notes) or f"{count} known, the spec's among them")


def _training(known: Mapping[tuple[str, str], Keys]) -> Sequence[Any]:
    (category, action) = ACTIONS[TRAIN][0]
    return category, known[category, action]


# --- the machine -----------------------------------------------------------------------------


def _memory_check(walls: Container, total: int) -> Check:
    """Compare the shared memory and the memory that a call may use with what the machine has."""
    limits = walls.limits
    wanted = _bytes(limits.memory or limits.shm_size)
    detail = (
        f"shared memory {limits.shm_size}, memory {limits.memory or 'not limited'}, {total / 1e9:.0f} GB here"
    )
    cure = "lower shm_size (or memory) in specs/platforms.yaml; with less shared memory, fewer workers"
    return Check("memory", not total or wanted <= total, detail, cure)


def _bytes(size: str) -> int:
    return int(size[:-1]) * UNITS[size[-1]]
