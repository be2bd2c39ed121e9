"""More than 200 strings that try to become part of the report, at every place where it shows text.

The page for labelling does not exist yet; it will be held to the same corpus.
"""

from __future__ import annotations

import copy
import http.client
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from xss_corpus import CORPUS

from browsing import browser
from deft.preflight.scripted_server import serving
from deft.report import render
from deft.report.facts import RunFacts
from deft.report.markdown import code_span
from deft.untrusted import untrusted
from deft.workspace.layout import RunFolder

Figure = Callable[[str, str, str], None]
HARMLESS = "harmless"
PIXEL = "data:image/png;base64,AAAA"
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "strong", "br", "img"),
    *("table", "tr", "th", "td", "div", "span", "ul", "li", "code"),
}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "alt", "src"}

browse = pytest.fixture(browser)


class Skeleton(HTMLParser):
    """The elements of a page with the names of their attributes, and all its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.policies: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(sorted(name for name, _ in attrs))))
        given = dict(attrs)
        if given.get("http-equiv"):
            self.policies.append(str(given.get("content")))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment in the page: {data[:60]!r}")


@pytest.fixture
def facts(finished: RunFolder, monkeypatch: pytest.MonkeyPatch) -> RunFacts:
    """The facts of a run whose pictures are left out: they hold no text of outside."""
    names = ("curve", "per_iteration", "by_label")
    monkeypatch.setattr(render, "_figures", lambda facts: {"histograms": {}, **dict.fromkeys(names, PIXEL)})
    monkeypatch.setattr(RunFacts, "deciding_picture", lambda self, phase: None)
    return RunFacts.of(finished)


def filled(facts: RunFacts, monkeypatch: pytest.MonkeyPatch, texts: tuple[str, ...]) -> RunFacts:
    """Put texts everywhere that a page shows text: settings, names, labels, messages, versions, samples."""
    first = texts[0]
    plan, state = copy.deepcopy(facts.plan), copy.deepcopy(facts.state)
    plan |= {"run_id": first, "workspace": first, "platform": first, "advice": list(texts)}
    plan["versions"] = {f"{number} {text}": text for number, text in enumerate(texts)}
    plan["settings"] |= {f"{n} {text}": {"value": text, "source": text} for n, text in enumerate(texts)}
    plan["target"]["source"] = first
    entry = facts.entries[-1]
    entries = [{**entry, "iter": first, "stage": first, "summary": text, "outcome": {}} for text in texts]
    entries[0]["outcome"] = {"events": list(texts)}
    for phase in state["iterations"].values():
        kept = next(iter(phase["kpi"]["per_label"].values()))
        phase["kpi"]["per_label"] = {f"{n} {text}": kept for n, text in enumerate(texts)}
        phase["kpi"]["far_at_100"]["deciding_defect"] |= {"label": first, "component_id": first}
    sample = {"filepath": "", "golden_filepath": "", "siamese_score": 0.5, "verdict": first}
    samples = [{**sample, "label": text, "component_id": text} for text in texts]
    monkeypatch.setattr(RunFacts, "weakest_pairs", lambda self: samples)
    monkeypatch.setattr(RunFacts, "mined_examples", lambda self: [("", [""], 0.5)])
    monkeypatch.setattr(RunFacts, "training_rows", lambda self: [{"phase": first, "base": 1}])
    return replace(facts, plan=plan, state=state, entries=entries)


def page_of(facts: RunFacts, monkeypatch: pytest.MonkeyPatch, *texts: str) -> str:
    return render.report_html(filled(facts, monkeypatch, texts))


def test_no_string_adds_an_element_an_attribute_or_a_comment_to_the_page(
    facts: RunFacts, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    expected = Skeleton(page_of(facts, monkeypatch, HARMLESS))
    assert {tag for tag, _ in expected.elements} <= ELEMENTS
    assert {name for _, names in expected.elements for name in names} <= ATTRIBUTES
    assert len(expected.policies) == 1
    assert expected.policies[0].startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "script" not in expected.policies[0]
    assert expected.text.count(HARMLESS) >= 15
    changed = []
    for text in CORPUS:
        page = page_of(facts, monkeypatch, text)
        found = Skeleton(page)
        same = found.elements == expected.elements and found.policies == expected.policies
        if not same or (text in page and re.search(r"[<>\"']", text)) or "1337" in found.text:
            changed.append(text)
    total = len(CORPUS)
    figure(
        "XSS strings in the report that change its elements", f"0 of {total}", f"{len(changed)} of {total}"
    )
    assert len(CORPUS) >= 200
    assert changed == []


def test_every_string_is_shown_as_the_text_that_it_is(
    facts: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Escaping that drops what it does not like would hide what a label says."""
    shown = " ".join(Skeleton(page_of(facts, monkeypatch, *CORPUS)).text.split())
    assert [text for text in CORPUS if untrusted(text) not in shown] == []


def test_markdown_shows_every_string_in_a_code_span(figure: Figure) -> None:
    spans = [str(code_span(text)) for text in CORPUS]
    whole = [span for span in spans if re.fullmatch(r"`[^`|\n\\]+`", span)]
    left, total = len(CORPUS) - len(whole), len(CORPUS)
    figure("XSS strings in Markdown that leave their code span", f"0 of {total}", f"{left} of {total}")
    assert len(whole) == len(CORPUS)


def test_a_real_browser_opens_the_page_without_a_dialog_a_request_or_a_complaint(
    facts: RunFacts, monkeypatch: pytest.MonkeyPatch, browse: Any, tmp_path: Path, figure: Figure
) -> None:
    page = tmp_path / "page.html"
    text = page_of(facts, monkeypatch, HARMLESS, *CORPUS)
    page.write_text(text, encoding="utf-8")
    document, console, asked = browse(page)
    expected = [tag for tag, _ in Skeleton(text).elements]
    figure(
        "the same page in headless Chromium: scripts run, requests, complaints",
        "0; 0; 0",
        f"{document.count('<title>owned')}; {len(asked)}; {len(console)}",
    )
    assert (console, asked) == ([], [])
    assert f"<title>DEFT loop report: {HARMLESS}</title>" in document
    for tag in ("script", "iframe", "svg", "a ", "form", "object", "link", "base"):
        assert f"<{tag}" not in re.sub(r"<style>.*?</style>", "", document, flags=re.DOTALL)
    assert document.count("<img ") == expected.count("img")
    assert document.count("<td") == expected.count("td")


def test_the_same_look_finds_a_string_that_is_not_escaped(browse: Any, tmp_path: Path) -> None:
    """A dialog would hold the browser until its time is up, so this one only writes its title."""
    page = tmp_path / "bad.html"
    owned = "document.title='owned'; console.error('seen')"
    page.write_text(
        f'<title>good</title><img src="http://elsewhere.example/a.png" onerror="{owned}">', "utf-8"
    )
    document, console, asked = browse(page)
    assert (len(asked), len(console)) >= (1, 1)
    assert "<title>owned</title>" in document


# --- the one local server of this program --------------------------------------------------------------


PATHS = ("/", "/v1/messages", "/../../etc/passwd", "//elsewhere.example/", "/%2e%2e/%00", "/" + "a" * 5000)
HOSTILE_REQUESTS = [
    (method, path, headers)
    for method in ("GET", "HEAD", "POST")
    for path in PATHS
    for headers in (
        {"Host": "elsewhere.example"},
        {"Host": "127.0.0.1.elsewhere.example"},
        {"Origin": "http://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    )
]
SIZES = [{"Content-Length": "-1"}, {"Content-Length": "99999999999"}, {"Content-Length": "x"}]


def status_of(address: str, method: str, path: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_local_model_answers_no_page_of_a_browser_and_no_other_name(figure: Figure) -> None:
    """S10: a page that the user has open reaches loopback too, by rebinding a name or by a plain request."""
    refused = 0
    with serving(["echo planted"]) as model:
        address, _, token = model.url.removeprefix("http://").partition("/")
        for method, path, headers in HOSTILE_REQUESTS:
            refused += 400 <= status_of(address, method, f"/{token}{path}", headers) < 500
        for headers in SIZES:
            refused += 400 <= status_of(address, "POST", f"/{token}/v1/messages", headers) < 500
        for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"):
            refused += 400 <= status_of(address, method, f"/{token}/v1/messages", {}) <= 501
        assert model.results == {}
    total = len(HOSTILE_REQUESTS) + len(SIZES) + 5
    what = "hostile requests to the local server (Host, Origin, path, method, size)"
    figure(what, f"{total} refused", f"{refused} refused")
    assert refused == total
