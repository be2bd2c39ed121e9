"""The page of a run: one file that opens anywhere, says everything, and runs nothing that data may hold."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from browsing import browser
from deft import files
from deft.loop import run_loop
from deft.preflight.plan import make_plan
from deft.report.facts import RunFacts
from deft.report.render import number, percent, render_report, report_html, seconds
from deft.run.gate import approve, open_run, remember_drawn, save_pending
from deft.run.log import LoopLog, read
from deft.workspace.layout import RunFolder
from deft.workspace.rows import read_table, write_table
from forging import aimed_at
from loop_fixtures import SETTINGS, SILENT, TARGET, new_run, use_stub
from tiny_workspace import LIGHT, make_workspace
from verb_fixtures import tree

ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "strong", "br", "img"),
    *("table", "tr", "th", "td", "div", "span", "ul", "li", "code"),
}
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A parsed page: its elements with their attributes, its texts, and whether its tags close."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.styles: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        (self.styles if self._open and self._open[-1] == "style" else self.texts).append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    @property
    def policy(self) -> str:
        return next(
            found["content"]
            for found in self.of("meta")
            if found.get("http-equiv", "").lower() == "content-security-policy"
        )


def assert_harmless(page: Page) -> None:
    """Check what holds for every page, whatever the data of the run are."""
    assert {tag for tag, _ in page.elements} <= ALLOWED
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        assert set(attributes) <= {"lang", "charset", "http-equiv", "content", "name", "class", "alt", "src"}
    assert page.of("img")
    for picture in page.of("img"):
        assert re.fullmatch(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/]+=*", picture["src"])
        assert picture["alt"]
    (style,) = page.styles
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert page.policy == f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"
    assert "url(" not in style
    assert "@import" not in style


@pytest.fixture(scope="module")
def rendered(finished):
    return Page(render_report(finished).read_text())


# --- one file that opens anywhere ----------------------------------------------------------------------


def test_the_page_is_whole_in_itself_and_names_no_address_of_the_net(rendered, finished):
    assert_harmless(rendered)
    outside = re.sub(r'src="data:[^"]*"', "", finished.report.read_text())
    assert not re.search(r"https?:|//[a-z]|src=", outside)


def test_the_same_run_gives_the_same_bytes(finished):
    first = render_report(finished).read_bytes()
    assert render_report(finished).read_bytes() == first


def test_a_run_that_was_moved_gives_the_same_page(finished, tmp_path):
    page = render_report(finished).read_bytes()
    whole = shutil.copytree(finished.workspace.root, tmp_path / "whole", symlinks=True)
    alone = shutil.copytree(finished.root, tmp_path / "alone" / finished.root.name)
    for folder in (whole / "results" / finished.root.name, alone):
        (folder / finished.report.name).unlink()
        assert render_report(RunFolder(folder)).read_bytes() == page


def test_rendering_touches_the_page_alone(finished):
    render_report(finished)
    before = tree(finished.workspace.root)
    finished.report.write_text("older")
    render_report(finished)
    assert tree(finished.workspace.root) == before


# --- what it says --------------------------------------------------------------------------------------


def test_target_and_verdict_stand_first_and_the_figures_of_every_phase_follow(rendered, finished):
    state = files.read_json(finished.state)
    text = rendered.text
    assert text.index("before the target was reached: FAR < 0.1% at recall >= 100%") < text.index(
        "FAR at 100 %"
    )
    for phase in state["iterations"].values():
        for name in ("far_at_100", "far_at_99_5", "far_at_99"):
            assert percent(phase["kpi"][name]["far"]) in text
        low, high = phase["kpi"]["intervals"]["far_at_99_5"]
        assert f"[{percent(low)}, {percent(high)}]" in text
        assert number(phase["kpi"]["validation_calibrated"]["threshold"]) in text
        assert phase["kpi"]["far_at_100"]["deciding_defect"]["component_id"] in text
    assert "in-sample" in text
    assert "held out" in text
    assert "can never prove" in text


COST = "cost(escape=100, false_alarm=1) < 50"


def test_the_first_table_has_the_targets_own_figure_of_every_phase(finished, tmp_path):
    page = Page(report_html(RunFacts.of(aimed_at(finished, tmp_path, COST, 90.0, 30.0, 40.5))))
    assert f"Target met: {COST} (iter1: 30)." in page.text
    table = page.text.partition("target's figure: cost(escape=100, false_alarm=1) FAR at 100 %")[2]
    assert re.findall(r"(baseline|iter\d) (\S+) [\d.]+ %", table)[:3] == [
        ("baseline", "90"),
        ("iter1", "30"),
        ("iter2", "40.5"),
    ]


def test_a_rate_is_written_in_percent_with_its_condition(finished, tmp_path):
    run = aimed_at(finished, tmp_path, "recall >= 99.5% at FAR <= 1%", 0.01, 2 / 30, 0.05)
    page = Page(report_html(RunFacts.of(run)))
    assert "target's figure: recall at FAR <= 1% FAR at 100 %" in page.text
    assert "iter1 6.67 % " in page.text


@pytest.mark.parametrize(
    ("target", "values"), [(COST, ()), (TARGET, (0.1, 0.2, 0.3)), ("FAR < 1% at recall >= 99.5%", (0.1, 0.2))]
)
def test_an_older_run_or_a_figure_that_has_its_column_gets_no_second_one(finished, tmp_path, target, values):
    page = Page(report_html(RunFacts.of(aimed_at(finished, tmp_path, target, *values))))
    assert "target's figure:" not in page.text
    assert "phase FAR at 100 % at 99.5 %" in page.text


def test_every_kind_of_picture_is_there(rendered):
    kinds = [picture["alt"] for picture in rendered.of("img")]
    charts = {
        "False alarm rate per iteration",
        "Score histogram of baseline",
        "False alarm rate against recall",
        "Recall by defect type",
    }
    assert charts <= set(kinds)
    # three deciding defects and ten weak pairs, each beside its golden
    assert kinds.count("tested") == kinds.count("golden") == 13
    assert kinds.count("target") >= 1
    assert kinds.count("mined") >= kinds.count("target")


def test_the_ten_weakest_pairs_carry_their_verdicts(rendered):
    shown = rendered.text.partition("The ten weakest pairs")[2].partition("What was mined")[0]
    assert {"mislabeled", "edge case", "data quality", "systematic"} <= set(
        re.findall("mislabeled|edge case|data quality|systematic", shown)
    )
    assert "nobody looked" in shown  # the caption explains itself


def test_agreement_provenance_stages_and_versions_are_listed(rendered, finished):
    plan = files.read_json(finished.plan)
    for name, setting in plan["settings"].items():
        assert name in rendered.text
        assert setting["source"] in rendered.text
    for entry in read(finished.log):
        assert " ".join(entry["summary"].split()) in rendered.text
    for name, version in plan["versions"].items():
        assert f"{name} {version}" in rendered.text
    assert "synthetic, mined" in rendered.text
    assert files.read_json(finished.state)["plan_sha256"] in rendered.text


def test_without_a_held_out_set_the_page_says_that_its_figures_are_optimistic(
    tmp_path, monkeypatch, rendered
):
    use_stub(monkeypatch)
    workspace = make_workspace(tmp_path / "workspace")
    workspace.holdout_table.unlink()
    run = agreed_run(workspace, target="FAR < 99% at recall = 100%")
    run_loop(run, SILENT)
    page = Page(render_report(run).read_text())
    assert "There is no held-out set" in page.text
    assert "There is no held-out set" not in rendered.text
    assert "Target met" in page.text
    assert {"class": "verdict met"} in page.of("p")


def agreed_run(workspace, **given):
    target = given.pop("target", TARGET)
    plan, _, _ = make_plan(workspace, target=target, platform="embedded", given={**SETTINGS, **given})
    save_pending(plan)
    remember_drawn(workspace)
    approve(workspace, by="demo")
    return open_run(workspace)


def test_a_run_that_has_only_begun_or_failed_at_once_has_a_page_too(tmp_path, monkeypatch):
    run, _ = new_run(tmp_path, monkeypatch)
    entry = {"iter": "baseline", "stage": "train", "status": "error", "summary": "no memory", "outcome": {}}
    LoopLog(run.log).append(entry)
    page = Page(render_report(run).read_text())
    assert "No model has been evaluated yet." in page.text
    assert "failed: no memory" in page.text
    assert page.of("img") == []


@pytest.mark.parametrize("arm", ["random", "none"])
def test_the_control_arms_have_a_page_too(tmp_path, monkeypatch, arm):
    run, _ = new_run(tmp_path, monkeypatch, mining=arm, max_iterations=1)
    run_loop(run, SILENT)
    assert_harmless(Page(render_report(run).read_text()))


def test_a_page_whose_pictures_are_gone_still_opens(finished, tmp_path):
    root = shutil.copytree(finished.workspace.root, tmp_path / "copy", symlinks=True)
    run = RunFolder(root / "results" / finished.root.name)
    plan = files.read_json(run.plan)
    shutil.rmtree(root / "kpi")
    shutil.rmtree(root / "augmentation")
    files.write_json(run.plan, plan)
    assert_harmless(Page(render_report(run).read_text()))


def test_figures_are_rounded_for_people():
    assert (percent(0.0412345), percent(None), percent(0.0004, 3)) == ("4.12 %", "–", "0.040 %")
    assert (number(0.123456), number(None)) == ("0.1235", "–")
    assert (seconds(59.6), seconds(3.2), seconds(125)) == ("1 min 0 s", "3 s", "2 min 5 s")


# --- what data may hold --------------------------------------------------------------------------------

OWNED = "document.title='owned'"
LABEL = f'<script>{OWNED}</script>"><img src=x onerror="{OWNED}">{{{{7*191}}}}'.lower()
OBJECT = "<svg onload=alert(1)>'\"&{%raw%}$x^2$"
BOARD = "b0<iframe srcdoc=x>"
SUMMARY = (
    f"</td></table></body><script>{OWNED}</script><!-- {{{{ facts }}}} --> <a href=javascript:alert(1)>x"
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run whose labels, object names, folders, boards and log lines all try to become part of the page."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("hostile")
        patch.setenv("XDG_STATE_HOME", str(root / "state"))
        use_stub(patch)
        workspace = make_workspace(root / "work<i>space")
        for table in (workspace.training_table, workspace.validation_table, workspace.kpi_table):
            _plant(table, workspace.images)
        _plant(workspace.mining_pool_table, workspace.mining_pool / "images")
        run = agreed_run(workspace, max_iterations=1, filter_by_label="none")
        note = {"iter": "baseline", "stage": "remark", "status": "ok", "summary": SUMMARY, "kind": "note"}
        LoopLog(run.log).append({**note, "outcome": {"events": [SUMMARY]}})
        run_loop(run, SILENT)
    render_report(run)
    return run


def _plant(table: Path, images: Path) -> None:
    rows = read_table(table)
    rows["label"] = rows["label"].replace("bridge", LABEL)
    rows["boardname"] = SUMMARY
    for row in rows.index[rows["label"] != "PASS"]:
        for column in ("input_path", "golden_path"):
            old = images / rows.loc[row, column] / f"{rows.loc[row, 'object_name']}_{LIGHT}.png"
            new = images / f"{rows.loc[row, column]}{BOARD}" / f"{OBJECT}{row}_{LIGHT}.png"
            new.parent.mkdir(exist_ok=True)
            old.rename(new)
            rows.loc[row, column] = f"{rows.loc[row, column]}{BOARD}"
        rows.loc[row, "object_name"] = f"{OBJECT}{row}"
    write_table(table, rows)


def test_whatever_data_hold_appears_as_text_alone(hostile):
    text = hostile.report.read_text()
    page = Page(text)
    assert_harmless(page)
    for planted in (LABEL, OBJECT, BOARD, SUMMARY, "work<i>space"):
        assert planted not in text
    assert "&lt;script&gt;document.title=" in text
    for planted in (LABEL, OBJECT, BOARD, SUMMARY):
        assert " ".join(planted.split()) in page.text
    assert "1337" not in page.text  # 7 * 191: no text is a template


def test_whatever_data_hold_leaves_the_order_of_the_page_as_it_is(hostile, rendered):
    titles = [re.findall("<h2>(.*?)</h2>", page) for page in (hostile.report.read_text(), _text_of(rendered))]
    assert [title for title in titles[0] if title != "Not to be missed"] == [
        title for title in titles[1] if title != "Not to be missed"
    ]


def _text_of(page: Page) -> str:
    names = ("False alarm rate per iteration", *SECTIONS)
    return "".join(f"<h2>{name}</h2>" for name in names if name in page.text)


SECTIONS = (
    "The same models at a threshold calibrated on validation",
    "The defect that decides FAR at 100 % recall",
    "Scores and threshold",
    "False alarms against recall",
    "Defect types, before and after",
    "The ten weakest pairs, beside their goldens",
    "What was mined for which target",
    "Where the training rows came from",
    "What was agreed to",
    "Every stage",
    "Versions",
)


# --- in a real browser ---------------------------------------------------------------------------------


browse = pytest.fixture(browser)


@pytest.mark.whole
@pytest.mark.parametrize("which", ["finished", "hostile"])
def test_a_browser_opens_the_page_without_a_complaint_a_script_or_a_request(browse, which, request, tmp_path):
    run = request.getfixturevalue(which)
    page = shutil.copy(render_report(run), tmp_path / "page.html")
    document, console, asked = browse(Path(page))
    assert (console, asked) == ([], [])
    assert f"<title>DEFT loop report: {run.root.name}</title>" in document
    assert document.count("<h2>") == run.report.read_text().count("<h2>")
    assert document.count("<img ") == run.report.read_text().count("<img ")
    assert document.rstrip().endswith("</html>")


@pytest.mark.whole
def test_the_same_look_would_have_seen_a_script_a_complaint_and_a_request(browse, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        "<title>good</title><script>document.title='owned'; console.error('seen')</script>"
        "<img src='http://elsewhere.example/a.png'>"
    )
    document, console, asked = browse(page)
    assert "<title>owned</title>" in document
    assert any("seen" in line for line in console)
    assert asked == ["GET http://elsewhere.example/a.png"]


@pytest.mark.whole
def test_the_policy_of_the_page_alone_would_stop_a_script_that_slipped_in(browse, finished, tmp_path):
    page = tmp_path / "slipped.html"
    text = render_report(finished).read_text()
    page.write_text(text.replace("</body>", "<script>document.title='owned'</script></body>"))
    document, console, asked = browse(page)
    assert "<title>owned</title>" not in document
    assert any("Content Security Policy" in line for line in console)
    assert asked == []
