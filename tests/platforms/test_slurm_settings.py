"""Settings of a cluster: no value can become a flag, a second word or a second line."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deft.errors import UsageError
from deft.platforms.slurm.settings import TEXTS, SlurmSettings, seconds_of

NASTY = st.text(st.sampled_from("-=ab1:/ \n\r\t\0'\"`$();&|<>\\,#%ä"), max_size=12)
GIVEN = {
    "partition": "gpu,gpu-long",
    "account": "vision",
    "qos": "normal",
    "constraint": "a100|h100",
    "time_limit": "1-04:00:00",
    "memory": "64G",
    "cpus": 8,
    "gpus": "a100",
}


def test_settings_become_these_words_of_sbatch():
    assert SlurmSettings.from_mapping(GIVEN).options(gpus=2) == [
        "--partition=gpu,gpu-long",
        "--account=vision",
        "--qos=normal",
        "--constraint=a100|h100",
        "--time=1-04:00:00",
        "--mem=64G",
        "--cpus-per-task=8",
        "--gres=gpu:a100:2",
    ]


def test_what_is_not_set_is_left_to_the_cluster():
    assert SlurmSettings.from_mapping({}).options(gpus=0) == []
    assert SlurmSettings.from_mapping({}).options(gpus=1) == ["--gres=gpu:1"]


@example("partition", "-x")
@example("constraint", "--uid=0")
@example("python", "/usr/bin/python\n#SBATCH --uid=0")
@example("memory", "1\n")
@given(st.sampled_from(sorted(TEXTS)), NASTY | st.text(max_size=40))
def test_no_text_smuggles_a_flag_or_a_line_into_the_command(name, text):
    try:
        settings = SlurmSettings.from_mapping({name: text})
    except UsageError:
        return
    for word in settings.options(gpus=1):
        assert word.startswith("--")
        assert word.isprintable()
        assert not word.partition("=")[2].startswith("-")
    if name == "python":
        assert text.startswith("/")
        assert "\n" not in text


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("time_limit", 5400, "'04:00:00', in quotes"),  # what YAML makes of an unquoted 1:30:00
        ("time_limit", "90", "'04:00:00', in quotes"),
        ("partition", "--wrap=id", "partition: gpu"),
        ("account", "a\n#SBATCH --uid=0", "account: vision"),
        ("cpus", 0, "from 1 to 4096"),
        ("cpus", 1.5, "from 1 to 4096"),
        ("cpus", True, "from 1 to 4096"),
        ("poll_seconds", 0, "from 0.01 to 600"),
        ("engine", "docker", "engine: embedded"),
        ("python", "python3", "/shared/venv/bin/python"),
        ("shared_filesystem", "yes", "true or false"),
    ],
)
def test_a_value_of_another_form_is_refused_with_the_form(name, value, hint):
    with pytest.raises(UsageError, match=name) as refusal:
        SlurmSettings.from_mapping({name: value})
    assert hint in refusal.value.hint


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1-00:00:00", 86_400),
        ("04:00:00", 14_400),
        ("59:58", 3_598),
        ("12", 12),
        ("UNLIMITED", None),
        ("", None),
        ("x-01:00:00", None),
        ("1:2:3:4", None),
    ],
)
def test_a_time_as_slurm_writes_it_is_read_in_seconds(text, seconds):
    assert seconds_of(text) == seconds
