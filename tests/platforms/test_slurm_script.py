"""The batch script, run by bash as a node would: it claims, carries out, passes TERM on, and tells last."""

from __future__ import annotations

import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deft.platforms.slurm.script import CANNOT_WRITE, batch_script
from slurm_cluster import wait_until

NONCE = "0123456789ab"
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def job_folder(parent: Path) -> Path:
    folder = parent / "a job's folder"
    (folder / "work").mkdir(parents=True)
    return folder


def run(folder: Path, *commands: list[str]) -> subprocess.CompletedProcess[str]:
    text = batch_script(folder, NONCE, [(folder / "out.log", words) for words in commands], {"X": "a b"})
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=False)


def shell(text: str) -> list[str]:
    return ["bash", "-c", text]


def test_the_result_names_exit_codes_and_every_file_by_its_hash(tmp_path):
    folder = job_folder(tmp_path)
    script = f"echo hello; printf 1 > {shlex.quote(str(folder / 'work'))}/'two words.txt'"
    assert run(folder, shell(script), ["true"]).returncode == 0
    lines = (folder / f"{NONCE}.ok").read_text().splitlines()
    one = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    assert lines == ["deft-result 1", f"nonce {NONCE}", "codes 0 0", f"{one}  ./two words.txt", "end"]
    assert (folder / "out.log").read_text() == "hello\n"


def test_the_first_command_that_fails_is_the_last_and_its_code_is_told(tmp_path):
    folder = job_folder(tmp_path)
    assert run(folder, ["true"], shell("exit 5"), ["touch", str(tmp_path / "never")]).returncode == 5
    assert "codes 0 5" in (folder / f"{NONCE}.ok").read_text()
    assert not (tmp_path / "never").exists()


def test_a_second_start_of_the_same_job_does_nothing(tmp_path):
    folder = job_folder(tmp_path)
    count = shell(f"echo x >> {shlex.quote(str(tmp_path / 'count'))}")
    run(folder, count)
    told = (folder / f"{NONCE}.ok").read_bytes()
    again = run(folder, count)
    assert again.returncode == 0
    assert "started before" in again.stderr
    assert (tmp_path / "count").read_text() == "x\n"
    assert (folder / f"{NONCE}.ok").read_bytes() == told


def test_a_node_that_cannot_write_says_so_in_one_line_before_any_work(tmp_path):
    done = run(tmp_path / "not mounted here", ["touch", str(tmp_path / "never")])
    assert done.returncode == CANNOT_WRITE
    assert len(done.stderr.splitlines()) == 1
    assert "cannot write to" in done.stderr
    assert not (tmp_path / "never").exists()


def test_a_request_to_stop_reaches_the_command_and_its_last_word_is_told(tmp_path):
    folder = job_folder(tmp_path)
    saving = 'save() { echo saved >checkpoint; exit 143; }; cd "$0"; trap save TERM; touch ready; '
    words = ["bash", "-c", saving + "while :; do sleep 0.05; done", str(folder / "work")]
    text = batch_script(folder, NONCE, [(folder / "out.log", words)], {})
    with subprocess.Popen(["bash", "-c", text]) as job:
        wait_until((folder / "work" / "ready").exists, "the command is at work", 20)
        job.send_signal(signal.SIGTERM)
        assert job.wait(20) == 143
    told = (folder / f"{NONCE}.ok").read_text()
    assert "codes 143" in told
    assert "./checkpoint" in told


def test_what_writers_leave_behind_is_not_a_result(tmp_path):
    folder = job_folder(tmp_path)
    run(folder, ["touch", str(folder / "work" / ".scores.csv.77.tmp")])
    assert "tmp" not in (folder / f"{NONCE}.ok").read_text()


@settings(max_examples=25, deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_words_reach_the_command_as_they_are_whatever_stands_in_them(tmp_path_factory, words):
    folder = job_folder(tmp_path_factory.mktemp("job"))
    run(folder, ["printf", "%s\\0", *words])
    printed = (folder / "out.log").read_bytes()
    assert printed == "".join(f"{word}\0" for word in words or [""]).encode()


@pytest.mark.parametrize("value", ["a b", "$(id)", "x\ny", "'"])
def test_the_environment_of_the_script_is_quoted(tmp_path, value):
    folder = job_folder(tmp_path)
    text = batch_script(folder, NONCE, [(folder / "out.log", shell('printf %s "$GIVEN"'))], {"GIVEN": value})
    subprocess.run(["bash", "-c", text], check=True)
    assert (folder / "out.log").read_text() == value
