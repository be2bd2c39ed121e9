"""What a command would do, over the whole corpus: launches and bypasses refused, reading let through."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from gate_corpus import HARMLESS_READS, LAUNCHES, variants

from deft.guard.launches import Judge, Refused
from deft.guard.shell_words import Word
from deft.guard.tool_calls import READING_VERBS, _only_shows

REPOSITORY = Path(__file__).resolve().parents[2]


def only_reading(verb: str, arguments: list[Word], folders: list[str]) -> bool:
    return verb in READING_VERBS or (
        verb == "tool" and _only_shows([word.literal() or "" for word in arguments])
    )


def refusal_of(command: str, folder: str = "/nonexistent") -> str | None:
    """Return why a command is refused before approval, or None."""
    try:
        Judge(folder, str(REPOSITORY), only_reading, lambda *_: False).judge(command)
    except Refused as refused:
        return str(refused)
    return None


def test_there_are_at_least_25_classes_and_40_reads() -> None:
    assert len(LAUNCHES) >= 25
    assert len(HARMLESS_READS) >= 40


@pytest.mark.parametrize("name", LAUNCHES)
def test_a_class_of_launches_is_refused_however_it_is_written(name: str) -> None:
    tried = [variant for command in LAUNCHES[name] for variant in variants(command)]
    assert len(tried) >= 50
    assert [variant for variant in tried if refusal_of(variant) is None] == []


@pytest.mark.parametrize("command", HARMLESS_READS)
def test_a_harmless_read_is_let_through(command: str) -> None:
    assert refusal_of(command) is None


@pytest.mark.parametrize("command", HARMLESS_READS)
def test_a_harmless_read_is_let_through_in_a_list_and_in_a_subshell(command: str) -> None:
    assert refusal_of(f"ls; ( {command}\n)") is None


# --- deft, by any of its names -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "deft status",
        f"{REPOSITORY}/bin/deft status",
        f"cd {REPOSITORY} && bin/deft status",
        f"cd {REPOSITORY}/src; ../bin/deft status",
        "${CLAUDE_PLUGIN_ROOT}/bin/deft status",
        '"$TAO_SKILL_BANK_PATH/bin/deft" status',
        "${TAO_SKILL_BANK_PATH:-~/tao-skills-external}/scripts/list_tao_platforms.py --format text",
        f"python3 {REPOSITORY}/scripts/list_tao_platforms.py --format text",
        f"{REPOSITORY}/scripts/resolve_versions_key.py images.tao_toolkit.pyt",
        "timeout 90 deft status",
    ],
)
def test_this_plugin_s_deft_is_known_by_its_path(command: str) -> None:
    assert refusal_of(command) is None


def test_another_deft_is_a_program_by_its_path(tmp_path: Path) -> None:
    other = tmp_path / "bin" / "deft"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n", encoding="utf-8")
    assert refusal_of(f"{other} status")
    assert refusal_of("bin/deft status", str(tmp_path))
    assert refusal_of(f"cd {REPOSITORY}; cd {tmp_path}; bin/deft status")
    assert refusal_of(f"ls; cd {REPOSITORY}; bin/deft status", str(tmp_path))
    assert refusal_of(f"(cd {REPOSITORY}); bin/deft status", str(tmp_path))
    assert refusal_of(f"cd {REPOSITORY} & bin/deft status", str(tmp_path))


def test_another_bank_s_script_behind_a_default_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAO_SKILL_BANK_PATH", raising=False)
    command = f"${{TAO_SKILL_BANK_PATH:-{tmp_path}}}/scripts/list_tao_platforms.py"
    assert refusal_of(command) is None
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "list_tao_platforms.py").touch()
    assert refusal_of(command)


def test_a_link_to_this_plugin_s_deft_is_this_plugin_s_deft(tmp_path: Path) -> None:
    (tmp_path / "d").symlink_to(REPOSITORY / "bin" / "deft")
    assert refusal_of(f"{tmp_path}/d status") is None
    assert refusal_of(f"{tmp_path}/d run")


def test_a_script_that_writes_is_the_verb_that_writes() -> None:
    assert "log-stage" in str(refusal_of(f"python3 {REPOSITORY}/scripts/log_stage.py --status ok"))


def test_python_options_in_front_of_a_script_are_refused() -> None:
    assert refusal_of(f"python3 -i {REPOSITORY}/scripts/list_tao_platforms.py")


# --- bounds ------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)  # the client lets a call through whose hook it had to end
@pytest.mark.parametrize(
    "command",
    [
        *("(" * 900, "a;" * 30000, "$(" * 4000, "eval " * 8000, "{" * 60000, "ls " + "a" * 70000),
        "[[ " + "a && " * 9000 + "docker run x",
        "x=1; docker " + "$x " * 15000,
        "docker " + "a " * 30000,
    ],
)
def test_what_is_too_much_is_refused_and_soon(command: str) -> None:
    assert refusal_of(command)


def test_the_reason_names_the_command_and_nothing_unprintable() -> None:
    assert refusal_of("docker run x y z") == "docker run x may have an effect"
    assert "\u202e" not in str(refusal_of("docker \u202erun"))


# --- held against a real shell ---------------------------------------------------------------------------

PIECES = [
    *" \t\n;|&<>(){}[]'\"\\`$#!~*?=-^",
    *(
        "docker run",
        "$(docker run)",
        "\ndocker run\n",
        "\\\n",
        "<<E\n",
        "\nE\n",
        "$((",
        "))",
        "${",
        "$'",
        "=(",
    ),
    *(
        " for ",
        " in ",
        " do ",
        " done ",
        " && ",
        "eval ",
        "[[ ",
        " ]]",
        "-exec docker run {} ;",
        "X=docker;",
        "$X",
    ),
]
STUB = '#!/bin/sh\ncase "$1" in run*) : > {marker};; esac\n'


def test_nothing_that_is_let_through_reaches_docker_in_bash(tmp_path: Path) -> None:
    """Damage commands at random; whatever the judge still lets through must not launch in a real shell."""
    commands, place, marker = tmp_path / "bin", tmp_path / "place", tmp_path / "marker"
    commands.mkdir()
    place.mkdir()
    for name in ("docker", "ls", "cat", "head", "grep", "find", "sort", "git", "awk", "sed", "wc", "cut"):
        (commands / name).write_text(STUB.format(marker=marker) if name == "docker" else "#!/bin/sh\n")
        (commands / name).chmod(0o755)
    dice = random.Random(11)
    for _ in range(3000):
        command = _damaged(dice)
        if refusal_of(command, str(place)) is None and "docker run" in command:
            subprocess.run(
                ["bash", "-c", command],
                env={"PATH": f"{commands}:/usr/bin:/bin", "HOME": str(place)},
                cwd=place,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=20,
            )
            assert not marker.exists(), command
            assert list(place.iterdir()) == [], command


def _damaged(dice: random.Random) -> str:
    command = dice.choice(HARMLESS_READS)
    for _ in range(dice.randint(1, 5)):
        start = dice.randint(0, len(command))
        command = command[:start] + dice.choice(PIECES) + command[start + dice.choice((0, 0, 1, 3)) :]
    return command
