"""Take secrets out of a text: values that are known to be secret, and whatever looks like a token.

Standard library only, Python 3.8 on. A value is found as it is, and as JSON, a URL, base64 or hexadecimal
digits write it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re

TYPE_CHECKING = False  # as typing has it, whose import a hook need not wait for
if TYPE_CHECKING:
    from typing import Iterator, Mapping

HIDDEN = "[redacted]"
MIN_LENGTH = 6
SECRET_NAME = re.compile(r"(?i)KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|AUTH|COOKIE")
SETTING = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*=(.*)$", re.MULTILINE)
HARMLESS = re.compile(r"(?i)true|false|none|null|default|disabled|enabled|/.*|~/.*")
RANDOM = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[^\s/:]{16,}")
TOKEN = re.compile(
    r"hf_[A-Za-z0-9]{16,}|nvapi-[A-Za-z0-9_-]{16,}|gl(?:pat|dt|rt|ptt)-[A-Za-z0-9_-]{16,}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|sk-[A-Za-z0-9_-]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|eyJ[\w-]{10,1000}\.[\w-]{10,}\.[\w-]+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-{5}.*?(?:-----END [A-Z ]*PRIVATE KEY-{5}|$)"
    r"|(?<=://)[^/\s:@\"']{1,100}:[^/\s:@\"']{3,}(?=@)",
    re.DOTALL,
)
BEARER = re.compile(
    r"(?i)((?:bearer|basic)\s+|(?:password|passwd|api[_-]?key)[\"']?\s*[=:]\s*[\"']?)[\w.~+/=-]{12,}"
)
ENCODED = re.compile(r"[A-Za-z0-9+/_-]{22,}={0,2}")
PERCENT = re.compile(r"[\w.~%+-]{8,}")
LONG_RUN = 65536  # longer runs of base64 are pictures


def known_secrets(environment: Mapping[str, str], files: list[str]) -> set[str]:
    """Return the values of credentials in an environment and in `.env` files."""
    found = {value for name, value in environment.items() if SECRET_NAME.search(name)}
    for path in files:
        settings = [(name, value.strip().strip("\"'")) for name, value in SETTING.findall(_read(path))]
        found |= {value for name, value in settings if SECRET_NAME.search(name) or RANDOM.fullmatch(value)}
    return {value for value in found if len(value) >= MIN_LENGTH and not HARMLESS.fullmatch(value)}


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(1 << 20)
    except OSError:
        return ""


class Redactor:
    """Replaces secrets by one mark."""

    def __init__(self, secrets: set[str]) -> None:
        spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
        self.known = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))

    def clean(self, text: str) -> str:
        """Return a text without secrets; the rest of it, line breaks included, is as it was."""
        for spelling in self.known:
            text = text.replace(spelling, HIDDEN)
        plain = BEARER.sub(lambda found: found[1] + HIDDEN, TOKEN.sub(HIDDEN, text))
        return PERCENT.sub(self._unquoted, ENCODED.sub(self._decoded, plain))

    def _is_secret(self, text: str) -> bool:
        return TOKEN.search(text) is not None or any(spelling in text for spelling in self.known)

    def _decoded(self, found: re.Match[str]) -> str:
        """Hide a run of base64 digits if what it stands for, from any of its first digits on, is a secret."""
        if len(found[0]) > LONG_RUN:
            return found[0]
        digits = found[0].rstrip("=").replace("-", "+").replace("_", "/")
        for first in range(4):
            piece = digits[first:]
            text = base64.b64decode(piece[: len(piece) // 4 * 4] + _tail(piece)).decode("latin-1")
            if self._is_secret(text):
                return HIDDEN
        return found[0]

    def _unquoted(self, found: re.Match[str]) -> str:
        from urllib.parse import unquote

        return HIDDEN if "%" in found[0] and self._is_secret(unquote(found[0])) else found[0]


def redacted(text: str, folder: str) -> str:
    """Return a text without the credentials of this process and of every `.env` from a folder upwards."""
    import os

    places = [folder]
    while os.path.dirname(places[-1]) != places[-1]:
        places.append(os.path.dirname(places[-1]))
    return Redactor(known_secrets(os.environ, [os.path.join(place, ".env") for place in places])).clean(text)


def _tail(digits: str) -> str:
    rest = digits[len(digits) // 4 * 4 :]
    return rest + "=" * (4 - len(rest)) if len(rest) > 1 else ""


def _spellings(secret: str) -> Iterator[str]:
    """Yield the ways in which a value may be written into a transcript or a log."""
    from urllib.parse import quote, quote_plus

    raw = secret.encode("utf-8", "surrogatepass")
    escaped = json.dumps(secret)[1:-1]
    yield from (secret, escaped, json.dumps(escaped)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from (quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace"))
    yield from (binascii.hexlify(raw).decode(), binascii.hexlify(raw).decode().upper())
    for offset in range(3):
        digits = base64.b64encode(b"\0" * offset + raw).decode()
        kept = digits[(0, 2, 3)[offset] : (len(raw) + offset) * 4 // 3]
        if len(kept) >= MIN_LENGTH:
            yield from (kept, kept.replace("+", "-").replace("/", "_"))
