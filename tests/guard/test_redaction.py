"""Secrets disappear from texts in every spelling, and nothing else does."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from deft.guard.redaction import HIDDEN, Redactor, known_secrets

CANARY = 'c4nary/Ü+"x\\y z=&%'
TOKENS = {
    "hf": "hf_" + "a1B2" * 8,
    "nvapi": "nvapi-" + "x_Y-9" * 8,
    "gitlab": "glpat-" + "a1b2c3" * 4,
    "github": "ghp_" + "A1b2" * 9,
    "fine-grained": "github_pat_" + "A1b2_" * 8,
    "aws": "AKIA" + "ABCD1234" * 2,
    "anthropic": "sk-ant-" + "a1b2" * 8,
    "slack": "xoxb-" + "1234567890-abc",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcDEF123",
}


def spellings(secret: str) -> dict[str, str]:
    raw = secret.encode()
    once = json.dumps(secret)[1:-1]
    return {
        "plain": secret,
        "JSON": once,
        "JSON in JSON": json.dumps(once)[1:-1],
        "JSON, readable": json.dumps(secret, ensure_ascii=False)[1:-1],
        "URL": quote(secret, safe=""),
        "form": quote_plus(secret),
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "base64": base64.b64encode(raw).decode(),
        "base64 for URLs": base64.urlsafe_b64encode(raw).decode(),
        "base64 with a user": base64.b64encode(b"user:" + raw).decode(),
        "base64 with a longer user": base64.b64encode(b"$oauthtoken:" + raw + b":more").decode(),
        "base64, shifted by one": base64.b64encode(b"x" + raw).decode(),
    }


@pytest.mark.parametrize("form", spellings(CANARY))
def test_a_known_value_is_hidden_in_every_spelling(form: str) -> None:
    text = spellings(CANARY)[form]
    cleaned = Redactor({CANARY}).clean(f'before "{text}" after\n')
    assert HIDDEN in cleaned
    assert text not in cleaned
    assert cleaned.startswith('before "')
    assert cleaned.endswith(" after\n")


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("form", ["plain", "JSON", "base64", "base64 with a user", "URL"])
def test_what_looks_like_a_token_is_hidden_without_being_known(name: str, form: str) -> None:
    text = spellings(TOKENS[name])[form]
    assert text not in Redactor(set()).clean(json.dumps({"output": f"\n{text}\n"}))


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdefghijklmnop1234",
        "password=correct-horse-battery",
        '"api_key": "abcdefghijklmnop"',
        "https://me:s3cretword@host/x",
        "-----BEGIN PRIVATE {0}\\nMIIE\\n-----END PRIVATE {0}".format("KEY" + "-" * 5),
    ],
)
def test_what_stands_where_a_secret_stands_is_hidden(text: str) -> None:
    assert HIDDEN in Redactor(set()).clean(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "assistant", "uuid": "0f3a4711-22aa-4bcd-9e00-1234567890ab"}',
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "FAR 0.04 % at recall 100 %; threshold 0.31250000000000006",
        "hf_hub_download and shelf_life and sk-learn",
        "/ws/results/run_20260102_030405/iter1/mining_filter/mining_pool.csv",
        "100%25 of %20",
    ],
)
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    assert Redactor({CANARY}).clean(text) == text


def test_credentials_come_from_the_environment_and_env_files(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "export NGC_API_KEY='from-file-1'\nPLATFORM=embedded\nODD=abc123def456ghi789\n"
    )
    environment = {
        "HF_TOKEN": "from-environment",
        "PATH": "/usr/bin",
        "SSH_AUTH_SOCK": "/tmp/agent",
        "USE_AUTH": "true",
        "MY_KEY": "abc",
    }
    found = known_secrets(environment, [str(tmp_path / ".env"), str(tmp_path / "absent")])
    assert found == {"from-environment", "from-file-1", "abc123def456ghi789"}


def test_a_long_line_with_pictures_is_cleaned_soon() -> None:
    line = json.dumps({"data": base64.b64encode(bytes(range(256)) * 8000).decode(), "x": CANARY})
    cleaned = Redactor({CANARY}).clean(line)
    assert len(cleaned) > 2_000_000
    assert json.dumps(CANARY)[1:-1] not in cleaned
