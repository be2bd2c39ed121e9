"""The story of the engineer, told once, and the programs that it needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from client import installation
from client.engineer_story import Story, plant_secrets, reporter, reporter_phrase, tiny_workspace
from client.real_client import RealClient
from client.scripted_model import serving


@pytest.fixture(scope="session")
def client_program() -> Path:
    program = installation.client_program()
    if not program.exists():
        pytest.skip("the client is not installed: python tests/client/installation.py")
    return program


@pytest.fixture(scope="session")
def scanner_program() -> Path:
    program = installation.scanner_program()
    if not program.exists():
        pytest.skip("the skill scanner is not installed: python tests/client/installation.py")
    return program


@pytest.fixture(scope="session")
def story(client_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Everything that happened between the engineer's first word and the finished run."""
    root = tmp_path_factory.mktemp("story")
    for name in ("home", "streams"):
        (root / name).mkdir()
    workspace = tiny_workspace(root / "workspace")
    with serving() as model:
        variables = plant_secrets(workspace)
        client = RealClient(client_program, root / "home", workspace.root, model.url, variables=variables)
        told = Story(workspace, client, model, root / "streams")
        model.play(reporter(told), phrase=reporter_phrase())
        try:
            told.tell()
            yield told
        finally:
            told.kill_runner()
