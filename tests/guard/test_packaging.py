"""The package of a report: complete, private, and without any secret."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from urllib.parse import quote

import pytest
from report_fixtures import write_report

from deft.guard.packaging import NotPackaged, package

REPOSITORY = Path(__file__).resolve().parents[2]
SECRETS = {
    "HF_TOKEN": "canary-environment-1",
    "NGC_API_KEY": "canary-file/2+x",
    "unknown": "hf_" + "Canary3" * 4,
}


@pytest.fixture
def step(begun: Path) -> Path:
    """Return the folder of an analysis in a run whose workspace has an `.env`."""
    folder = begun / "baseline" / "rca_results" / "2026-01-02_030405"
    write_report(folder)
    (begun.parent.parent / ".env").write_text(f"NGC_API_KEY={SECRETS['NGC_API_KEY']}\n", encoding="utf-8")
    return folder


def transcript(folder: Path) -> Path:
    """Write a conversation in which every secret was said, in several spellings."""
    lines = []
    for secret in SECRETS.values():
        said = f"{secret} {quote(secret, safe='')} {base64.b64encode(b'user:' + secret.encode()).decode()}"
        lines += [json.dumps({"type": "user", "text": said}), json.dumps({"nested": json.dumps({"x": said})})]
    path = folder / "session.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def packed(step: Path, tmp_path: Path) -> list[Path]:
    environment = {"HF_TOKEN": SECRETS["HF_TOKEN"], "PATH": "/usr/bin"}
    report = str(step / "RCA_Report.md")
    return [
        Path(path) for path in package(report, str(REPOSITORY), str(transcript(tmp_path)), environment, "s-1")
    ]


def test_a_package_holds_skill_references_plan_versions_and_transcript(step: Path, tmp_path: Path) -> None:
    names = {path.relative_to(step).as_posix() for path in packed(step, tmp_path)}
    assert names >= {
        "rca_config/skill/SKILL.md",
        "rca_config/references/troubleshooting.md",
        "rca_config/plan.json",
        "rca_config/versions.yaml",
        "claude_session.jsonl",
    }
    assert (step / "rca_config" / "versions.yaml").read_text() == (REPOSITORY / "versions.yaml").read_text()


def test_a_planted_secret_is_in_no_file_of_the_package(step: Path, tmp_path: Path) -> None:
    content = b"".join(path.read_bytes() for path in packed(step, tmp_path))
    for secret in SECRETS.values():
        raw = secret.encode()
        for spelling in (
            raw,
            quote(secret, safe="").encode(),
            base64.b64encode(raw)[:-4],
            base64.b64encode(b"user:" + raw),
        ):
            assert spelling not in content
    assert content.count(b"[redacted]") >= len(SECRETS)


def test_the_transcript_stays_one_object_a_line(step: Path, tmp_path: Path) -> None:
    packed(step, tmp_path)
    lines = (step / "claude_session.jsonl").read_text().splitlines()
    assert [sorted(json.loads(line)) for line in lines] == [["text", "type"], ["nested"]] * len(SECRETS)


def test_every_file_is_for_its_owner_only(step: Path, tmp_path: Path) -> None:
    modes = {stat.S_IMODE(path.stat().st_mode) for path in packed(step, tmp_path)}
    assert modes == {0o600}
    assert stat.S_IMODE((step / "rca_config").stat().st_mode) == 0o700


def test_packaging_again_replaces_and_leaves_nothing_behind(step: Path, tmp_path: Path) -> None:
    first = packed(step, tmp_path)
    (tmp_path / "session.jsonl").unlink()
    assert sorted(packed(step, tmp_path)) == sorted(first)
    assert [path for path in step.rglob("*") if path.name.endswith(".tmp")] == []


def test_a_mining_report_is_packed_with_its_own_skill(step: Path, tmp_path: Path) -> None:
    report = step / "Mining_Report.md"
    report.write_text("x")
    package(str(report), str(REPOSITORY), "", {}, None)
    assert "name: tao-mine-aoi-images" in (step / "mining_config" / "skill" / "SKILL.md").read_text()
    assert not (step / "claude_session.jsonl").exists()


def test_a_folder_that_leads_elsewhere_is_not_written_through(step: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (step / "rca_config").symlink_to(elsewhere)
    with pytest.raises(NotPackaged):
        packed(step, tmp_path)
    assert list(elsewhere.iterdir()) == []


def test_a_link_in_the_place_of_the_transcript_is_replaced_not_followed(step: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    os.symlink(victim, step / "claude_session.jsonl")
    packed(step, tmp_path)
    assert victim.read_text() == "mine"
    assert not (step / "claude_session.jsonl").is_symlink()
