from __future__ import annotations

from pathlib import Path

import pytest

from shard_fixtures import Embedding, Mining


@pytest.fixture
def mining(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Mining:
    (tmp_path / "search").mkdir()
    return Mining(tmp_path / "search", capsys)


@pytest.fixture
def embedding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Embedding:
    (tmp_path / "pictures").mkdir()
    return Embedding(tmp_path / "pictures", capsys)
