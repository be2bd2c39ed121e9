"""What every platform with TAO's own images shares: the spec an image is given, its images, its answers.

A call reaches an image as `CATEGORY ACTION -e SPEC` and nothing else: every override is merged into that
spec, because the container's launcher joins its words with blanks and splits them again, so a path with a
blank would become two words (contracts/tao-commands.md section 0).
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deft import files
from deft.errors import InputRefused, StageFailed, UsageError
from deft.platforms.base import Check, ToolCall
from deft.versions import resolve_versions_key
from deft.workspace.checkpoints import epochs_done
from deft.workspace.layout import Workspace
from deft.workspace.training_spec import is_embedded_engine

Spec = dict[str, Any]
IMAGES = {
    "visual_changenet": ("train_image", "images.tao_toolkit.pyt"),
    "embedding": ("data_services_image", "images.tao_toolkit.data_services"),
    "gap_analysis": ("data_services_image", "images.tao_toolkit.data_services"),
}
IMAGE_SETTINGS = ("train_image", "data_services_image")
ENCODERS = ("SigLIP", "CLIP")
STATUS = "Execution status:"
HEAD = "deft: container "
PINNED = re.compile(r"(?P<repository>[A-Za-z0-9][A-Za-z0-9._:/-]*)@(?P<digest>sha256:[0-9a-f]{64})")
IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
TAIL_LINES, TAIL_BYTES, LONGEST_LINE = 8, 64 * 1024, 300
MANY = 50


# --- images ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Image:
    """One image, known by its content: `repository@sha256:…`, or `sha256:…` for one without a registry."""

    reference: str

    @property
    def digest(self) -> str:
        """Return `sha256:…`."""
        return self.reference.rpartition("@")[2]


def image_of(category: str, settings: Mapping[str, Any]) -> Image:
    """Return the image that carries out a category: the user's setting, else versions.yaml.

    Raises UsageError for a category without an image and for a reference without a digest, with the command
    that shows the digest.
    """
    if category not in IMAGES:
        raise UsageError("no image carries out this category", value=category, hint=", ".join(IMAGES))
    setting, key = IMAGES[category]
    reference = str(settings.get(setting) or resolve_versions_key(key))
    if not (PINNED.fullmatch(reference) or IMAGE_ID.fullmatch(reference)):
        raise UsageError(
            f"image is not named by its digest (setting {setting})", value=reference, hint=_pin(reference)
        )
    return Image(reference)


def _pin(reference: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/-]*", reference):
        return "write repository@sha256:DIGEST"
    shown = "docker image inspect --format '{{index .RepoDigests 0}}'"
    return f"docker pull {reference} && {shown} {reference}, then write what it prints"


# --- the call --------------------------------------------------------------------------------


def container_words(call: ToolCall, spec: Path) -> list[str]:
    """Return the command inside the image for a spec that `container_spec` made."""
    return [call.category, call.action, "-e", str(spec)]


def container_spec(call: ToolCall) -> Spec:
    """Return the spec of a call with its overrides merged; paths become text, the spec's file stays as it is.

    Raises UsageError where an override passes through a value that is no block of keys.
    """
    content = files.read_yaml(call.spec) if call.spec else {}
    if not isinstance(content, dict):
        raise InputRefused("spec is not a mapping of keys", value=call.spec)
    spec = copy.deepcopy(content)
    for key, value in call.overrides.items():
        _set(spec, key, str(value) if isinstance(value, Path) else value)
    return spec


def _set(spec: Spec, key: str, value: object) -> None:
    *parents, last = key.split(".")
    block = spec
    for name in parents:
        inner = block.get(name)
        if inner is None:
            inner = block[name] = {}
        if not isinstance(inner, dict):
            raise UsageError("override does not fit the spec", value=key)
        block = inner
    block[last] = value


def leaves(spec: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every dotted key of a spec with its value; an empty block counts as a value."""
    for name, value in spec.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{key}.")
        else:
            yield key, value


def stays_on_host(call: ToolCall, settings: Mapping[str, Any]) -> bool:
    """Say whether this machine does the call itself: gap analysis, unless the image's is wanted."""
    return call.category == "gap_analysis" and settings.get("gap_analysis", "host") == "host"


def require_carried(call: ToolCall) -> None:
    """Refuse what no image of TAO can do, by key and with the alternatives."""
    spec = container_spec(call)
    fault = engine_fault(spec) or encoder_fault(spec)
    if fault:
        raise InputRefused(fault[0], value=call.spec, hint=fault[1])


def engine_fault(spec: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what is wrong with a backbone that only the embedded engine has, and what to write instead."""
    if not isinstance(spec.get("model"), Mapping) or not is_embedded_engine(spec):
        return None
    named = spec["model"]["backbone"]["type"]
    return (
        f"model.backbone.type {named} exists on platform embedded alone",
        "write c_radio_v2_vit_base_patch16_224, vit_large_nvdinov2 or fan_small_12_p4_hybrid into "
        "specs/baseline_spec.yaml, or take --platform embedded",
    )


def encoder_fault(spec: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what is wrong with an encoder that no image has, and what to write instead."""
    model = spec.get("model")
    if not isinstance(model, str) or model in ENCODERS:
        return None
    return f"encoder {model} exists on platform embedded alone", f"--encoder {' or '.join(ENCODERS)}"


def weights_are_staged(spec: Mapping[str, Any]) -> bool:
    """Say whether everything a spec names lies on this machine, so that the call needs no network."""
    named = spec.get("model_path")
    return named is None or Path(str(named)).is_absolute()


def spec_checks(baseline: Path) -> list[Check]:
    """Look for what the images refuse in the baseline's spec; nothing where there is no workspace yet."""
    if not baseline.is_file():
        return []
    spec = files.read_yaml(baseline)
    fault = engine_fault(spec) if isinstance(spec, dict) else None
    detail = fault[0] if fault else "no key of the embedded engine alone"
    return [Check("backbone", fault is None, detail, fault[1] if fault else "")]


# --- what it reads ---------------------------------------------------------------------------


def paths_read(call: ToolCall, spec: Mapping[str, Any]) -> list[Path]:
    """Return what a call may need: what it names, and where a workspace's links lead."""
    named = [Path(value) for _, value in leaves(spec) if isinstance(value, str) and value.startswith("/")]
    there = [path for path in named if not path.is_relative_to(call.writes) and path.exists()]
    linked = [folder for root in call.reads for folder in Workspace(root).data_folders if folder.is_symlink()]
    reads = [*call.reads, *there, *(folder.resolve() for folder in linked if folder.is_dir())]
    return [*reads, *listed_folders(spec, reads)]


def listed_folders(spec: Mapping[str, Any], reads: Iterable[Path]) -> list[Path]:
    """Return the folders of the images that an embedding's table lists and no other mount shows."""
    table = spec.get("input_parquet")
    if not isinstance(table, str) or not Path(table).is_file():
        return []
    shown = [path.resolve() for path in reads]
    paths = files.read_parquet(Path(table), required=("filepath",))["filepath"].astype(str)
    folders = {Path(folder) for folder in {os.path.dirname(path) for path in paths} if folder}
    wanted = {folder.resolve() for folder in folders if folder.is_dir()}
    unseen = sorted(folder for folder in wanted if not any(folder.is_relative_to(place) for place in shown))
    return unseen if len(unseen) <= MANY else [Path(os.path.commonpath(unseen))]


# --- its answer ------------------------------------------------------------------------------


def last_status(log: Path) -> str | None:
    """Return `PASS` or `FAIL` as the last `Execution status` of a log says; None where it says nothing.

    What stands above the head of the last container is the word of an earlier one.
    """
    lines = tail(log, lines=200)
    begins = max((number for number, line in enumerate(lines) if line.startswith(HEAD)), default=-1)
    found = [line for line in lines[begins + 1 :] if line.startswith(STATUS)]
    return found[-1].removeprefix(STATUS).strip() if found else None


def tail(log: Path, lines: int = TAIL_LINES) -> list[str]:
    """Return the last lines of a log that are not empty, at most 300 characters each."""
    if not log.is_file():
        return []
    with open(log, "rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - TAIL_BYTES))
        text = stream.read().decode("utf-8", errors="replace")
    found = re.split(r"[\r\n]+", text)[1 if size > TAIL_BYTES else 0 :]  # the first may be half a line
    return [shortened(line) for line in found if line.strip()][-lines:]


def shortened(line: str) -> str:
    """Return a line of a log cut between words: half a secret would be known to nobody who redacts."""
    if len(line) <= LONGEST_LINE:
        return line
    return line[:LONGEST_LINE].rpartition(" ")[0] or f"({len(line)} characters without a blank)"


def require_passed(call: ToolCall, code: int) -> None:
    """Raise StageFailed unless the exit code is 0 and the log's last status is PASS: an image may say
    FAIL and exit with 0.
    """
    status = last_status(call.log)
    if code == 0 and status == "PASS":
        return
    said = f"`{STATUS} {status}`" if status else "no execution status"
    reason = "\n  ".join(tail(call.log))
    raise StageFailed(f"{call.name} ended with code {code} and {said}\n  {reason}", hint=f"read {call.log}")


def progress_of(call: ToolCall) -> tuple[float, float | None]:
    """Return the epochs that a training has finished and their total; zero and None for other calls."""
    if call.action != "train":
        return 0, None
    return epochs_done(call.writes)
