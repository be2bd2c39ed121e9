"""The words of a container: what the builder wrote, whatever stands in a path or a setting."""

from __future__ import annotations

import csv
import io
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deft.errors import InputRefused, UsageError
from deft.platforms.containers import Image
from deft.platforms.docker_arguments import (
    PATTERNS,
    SPEC,
    Container,
    Limits,
    Mount,
    container_name,
    limits_from,
    mounts_for,
    require_mountable,
    require_settings,
)

IMAGE = Image("registry.example/tao@sha256:" + "d" * 64)
WORDS = ["visual_changenet", "train", "-e", str(SPEC)]
NAMES = st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1
)
ODD = st.sampled_from(
    ["--privileged", "-v", "a,b", 'a"b', "a:b", " ", "'", "a=b,readonly", "source=/", "$HOME"]
)


def container(**given_: object) -> Container:
    fields = {"name": "deft-x", "image": IMAGE, "words": WORDS, "mounts": [], "limits": Limits("1000:1000")}
    return Container(**{**fields, **given_})


def test_the_words_of_a_training_are_these() -> None:
    made = container(
        mounts=[Mount(Path("/w"), Path("/w")), Mount(Path("/w/r"), Path("/w/r"), writable=True)],
        labels={"deft.run": "run_1", "deft.stage": "train"},
        gpus=2,
        limits=Limits("1000:1000", memory="48g"),
    )
    assert made.options() == [
        "--name=deft-x",
        "--pull=never",
        "--init",
        "--user=1000:1000",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--read-only",
        "--network=none",
        "--ipc=private",
        "--tmpfs=/tmp:rw,exec,nosuid,nodev,mode=1777,size=16g",
        "--tmpfs=/deft:rw,noexec,nosuid,nodev,mode=1777,size=64m",
        "--workdir=/deft",
        "--shm-size=8g",
        "--pids-limit=4096",
        "--memory=48g",
        "--log-driver=json-file",
        "--label=deft.run=run_1",
        "--label=deft.stage=train",
        "--env=CUDA_CACHE_PATH=/tmp/cuda",
        "--env=HF_HOME=/tmp/huggingface",
        "--env=HF_HUB_OFFLINE=1",
        "--env=HOME=/tmp",
        "--env=MPLCONFIGDIR=/tmp/matplotlib",
        "--env=NUMBA_CACHE_DIR=/tmp/numba",
        "--env=PYTHONUNBUFFERED=1",
        "--env=TORCHINDUCTOR_CACHE_DIR=/tmp/inductor",
        "--env=TORCH_HOME=/tmp/torch",
        "--env=TRANSFORMERS_OFFLINE=1",
        "--env=TRITON_CACHE_DIR=/tmp/triton",
        "--env=USER=deft",
        "--env=XDG_CACHE_HOME=/tmp/cache",
        "--mount=type=bind,source=/w,target=/w,readonly",
        "--mount=type=bind,source=/w/r,target=/w/r",
        "--gpus=2",
        IMAGE.reference,
        *WORDS,
    ]


def test_a_secret_is_a_file_and_its_variables_name_the_file() -> None:
    words = container(network="bridge", secrets={"HF_TOKEN": Path("/dev/shm/deft-0/x/HF_TOKEN")}).options()
    assert "--env=HF_TOKEN_FILE=/run/deft-secrets/HF_TOKEN" in words
    assert "--env=HF_TOKEN_PATH=/run/deft-secrets/HF_TOKEN" in words
    mount = "type=bind,source=/dev/shm/deft-0/x/HF_TOKEN,target=/run/deft-secrets/HF_TOKEN,readonly"
    assert f"--mount={mount}" in words
    assert not any(word.startswith("--env=HF_HUB_OFFLINE") for word in words)


@given(st.lists(NAMES | ODD, min_size=1, max_size=4), st.lists(NAMES | ODD, max_size=3), st.booleans())
def test_no_path_adds_a_word_or_a_field(parts: list[str], more: list[str], writable: bool) -> None:
    path, other = Path("/data", *parts), Path("/data", *more)
    plain = container(mounts=[Mount(Path("/x"), Path("/y"), writable)]).options()
    words = container(mounts=[Mount(path, other, writable)]).options()
    changed = [(one, two) for one, two in zip(plain, words, strict=True) if one != two]
    assert len(changed) == 1
    ((_, word),) = changed
    ((kind, source, target, *ending),) = csv.reader(io.StringIO(word.removeprefix("--mount="), newline=""))
    assert (kind, source, target) == ("type=bind", f"source={path}", f"target={other}")
    assert ending == ([] if writable else ["readonly"])
    assert word.startswith("--mount=type=bind,")


@given(
    st.dictionaries(st.sampled_from(["deft.run", "deft.stage"]), st.text(max_size=20)), st.text(max_size=40)
)
def test_no_label_and_no_name_adds_a_word(labels: dict[str, str], text: str) -> None:
    words = container(labels=labels, name=container_name(text, digest="f" * 64)).options()
    assert len(words) == len(container().options()) + len(labels)
    assert all(word.startswith("--") for word in words[: words.index(IMAGE.reference)])


@given(st.sampled_from(sorted(PATTERNS)), st.text(max_size=12) | ODD | st.integers(-5, 5) | st.booleans())
def test_a_setting_is_of_its_form_or_refused(name: str, value: object) -> None:
    try:
        require_settings({name: value})
    except UsageError as error:
        assert name in error.message()  # noqa: PT017 - either ending is right
        return
    limits = limits_from({name: value}, "1000:1000")
    words = container(limits=limits).options()
    assert len(words) - len(container().options()) == (name == "memory")
    assert not any(set(word) & set(" \n\t") for word in words)


def test_a_name_is_one_that_docker_takes() -> None:
    name = container_name("run 1/é", "train", 2, digest="0123456789abcdef")
    assert name == "deft-run-1---train-2-0123456789ab"
    assert len(container_name("x" * 500, digest="0" * 64)) <= 193


# --- mounts ----------------------------------------------------------------------------------


def test_what_is_read_is_mounted_once_and_only_the_results_are_writable(tmp_path: Path) -> None:
    workspace, weights = tmp_path / "workspace", tmp_path / "weights"
    results = workspace / "results" / "run"
    for folder in (results, weights, workspace / "kpi"):
        folder.mkdir(parents=True)
    mounts = mounts_for([workspace / "kpi", workspace, weights, weights], results)
    assert [(mount.source, mount.target, mount.writable) for mount in mounts] == [
        (weights, weights, False),
        (workspace, workspace, False),
        (results, results, True),
    ]


def test_a_path_behind_a_link_is_there_under_both_names(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    (real / "out").mkdir(parents=True)
    link.symlink_to(real)
    mounts = mounts_for([link], link / "out")
    assert [(mount.source, mount.target) for mount in mounts] == [
        (real, real),
        (real, link),
        (real / "out", real / "out"),
    ]


@pytest.mark.parametrize(
    "path", ["/", "/etc", "/etc/ssl", "/proc/1", "/run", "/var/run", "/var", "/usr", "/tmp", "/dev"]
)
def test_what_belongs_to_the_system_enters_no_container(path: str) -> None:
    with pytest.raises(InputRefused, match="not given to a container"):
        require_mountable(Path(path))


def test_a_home_a_link_to_it_and_what_holds_it_enter_no_container(tmp_path: Path) -> None:
    home = Path(os.environ["HOME"])
    (tmp_path / "link").symlink_to(home)
    for path in (home, home.parent, tmp_path / "link"):
        with pytest.raises(InputRefused, match="home folder"):
            mounts_for([path], tmp_path / "out")
    require_mountable(home / "workspace")


def test_a_socket_enters_no_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("docker.sock")
        with pytest.raises(InputRefused, match="it is a socket"):
            require_mountable(tmp_path / "docker.sock")


@pytest.mark.parametrize("letter", ["\n", "\r", "\t", "\x00", "\x7f"])
def test_a_path_with_a_control_character_is_refused(letter: str) -> None:
    with pytest.raises(InputRefused, match="control character"):
        require_mountable(Path(f"/data/a{letter}b"))
