"""Where a command goes its own way on purpose, it goes the way that is written down."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from conformance import difference
from deft.tools.__main__ import main
from deft.tools.image_embeddings import samples_of

SPEC = {"dataset": {"classify": {"input_map": {"A": 0}, "image_ext": ".png"}}}
SHOW = ["gap_analysis", "vcn_aoi", "--cfg=job"]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command in an empty folder; return its exit code and what it said."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(list(words))
        return code, capsys.readouterr().out

    return run


def shown(say, *words: str) -> dict[str, object]:
    code, text = say(*SHOW, *words)
    assert code == 0, text
    return yaml.safe_load(text.removesuffix("Execution status: PASS\n"))


def gap(say, *words: str, labels: tuple[str, str] = ("PASS", "bridge")) -> tuple[int, str]:
    rows = {"input_path": ["a", "b"], "object_name": ["C1", "C2"], "label": labels}
    pd.DataFrame(rows | {"siamese_score": [0.1, 0.9]}).to_csv("inference.csv", index=False)
    keys = ("inference_results_dir=.", "train_config=train.yaml", "results_dir=out")
    return say("gap_analysis", "vcn_aoi", *keys, *words)


# --- overrides ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("float(5)", 5.0),
        ("str(5)", "5"),
        ("str(True)", "true"),
        ("int(x)", None),
        ("'a\\\\'", "a\\"),
        ("'a\\'b'", "a'b"),
        ("'a\\b'", "a\\b"),
    ],
)
def test_a_value_may_be_cast_and_quoted_as_hydra_has_it(say, text: str, value: object) -> None:
    if value is None:
        assert say(*SHOW, f"kpi_media_path={text}")[0] == 1
    else:
        found = shown(say, f"{'threshold' if value == 5.0 else 'kpi_media_path'}={text}")
        assert value in found.values()


@pytest.mark.parametrize("text", ["a,b", "a=b", "a#b", "~/x", "é", "a[1]", "(a)", "choice(a,b)", "glob(*)"])
def test_text_that_hydra_refuses_without_quotes_stands_for_itself(say, text: str) -> None:
    assert difference("plain-text-values")
    assert shown(say, f"kpi_media_path={text}")["kpi_media_path"] == text


def test_a_key_is_taken_away_by_its_name_or_by_its_value(say) -> None:
    assert "threshold" not in shown(say, "~threshold")
    assert "threshold" not in shown(say, "~threshold=-1.0")
    assert "is -1.0 and not 2" in say(*SHOW, "~threshold=2")[1]
    assert "does not exist" in say(*SHOW, "~nothing")[1]
    assert say(*SHOW, "threshold")[0] == 1


def test_what_hydra_alone_reads_does_nothing(say) -> None:
    assert difference("hydra-keys-do-nothing")
    Path("spec.yaml").write_text("defaults: [_self_]\nhydra: {run: {dir: .}}\nthreshold: 0.25\n")
    words = ("hydra.run.dir=.", "++hydra.run.dir=.", "hydra/job_logging=disabled", "hydra.verbose=true")
    found = shown(say, "-e", "spec.yaml", *words)
    assert found["threshold"] == 0.25
    assert not {"hydra", "defaults"} & set(found)


def test_no_value_is_taken_from_the_environment(say, monkeypatch: pytest.MonkeyPatch) -> None:
    assert difference("no-environment-in-specs")
    monkeypatch.setenv("TOKEN", "canary")
    Path("spec.yaml").write_text("kpi_media_path: ${oc.env:TOKEN}\n")
    for words in (("-e", "spec.yaml"), ("kpi_media_path=${oc.env:TOKEN}",), ("+x=[${oc.env:TOKEN}]",)):
        code, text = say(*SHOW, *words)
        assert (code, "canary" in text) == (1, False)


@pytest.mark.parametrize(
    "text",
    [
        "dataset: {classify: {input_map: {A: 0, A: 1}, image_ext: .png}}",
        "dataset: {classify: {input_map: AB, image_ext: .png}}",
        "dataset: {classify: {input_map: !!set {A, B}, image_ext: .png}}",
    ],
)
def test_yaml_that_says_two_things_is_refused(say, text: str) -> None:
    assert difference("strict-yaml")
    Path("train.yaml").write_text(text)
    assert gap(say)[0] == 1


def test_commands_that_the_loop_never_calls_are_none(say) -> None:
    assert difference("actions-of-the-loop")
    for words in (("visual_changenet", "export"), ("gap_analysis", "vlm_bcq")):
        assert main(list(words)) == 2


# --- gap analysis ------------------------------------------------------------------------------


def test_a_label_is_counted_as_it_is_written_but_for_what_is_not_seen(say) -> None:
    assert difference("visible-labels")
    Path("train.yaml").write_text(yaml.safe_dump(SPEC))
    assert gap(say, labels=("PASS", "ab  cd\u200b\te"))[0] == 0
    assert "  AB  CD E: 1 (50.0%)" in Path("out/weak_samples_breakdown.txt").read_text()
    assert list(json.loads(Path("out/metrics.json").read_text())["per_label"]) == ["PASS", "AB  CD\u200b\tE"]


def test_a_threshold_that_is_no_number_is_none(say) -> None:
    Path("train.yaml").write_text(yaml.safe_dump(SPEC))
    assert gap(say, "threshold=nan")[0] == 0
    assert float(Path("out/threshold.txt").read_text()) == 0.1


# --- nearest neighbours --------------------------------------------------------------------------


@pytest.mark.parametrize("paths", [["a", None, "c"], [7, 8, 9]])
def test_a_path_is_written_as_it_stands_in_the_pool(say, paths: list[object]) -> None:
    vectors = list(np.eye(3))
    pd.DataFrame({"filepath": pd.Series(paths, dtype=object), "embedding": vectors}).to_parquet(
        "source.parquet"
    )
    pd.DataFrame({"filepath": ["t"], "embedding": vectors[:1]}).to_parquet("target.parquet")
    keys = ("source_parquet=source.parquet", "target_parquet=target.parquet", "output_parquet=out.parquet")
    assert say("tmm", "nearest_neighbors", *keys, "topn=3")[0] == 0
    found = pq.read_table("out.parquet")["filepath"].to_pylist()
    assert sorted(map(str, found)) == sorted(map(str, paths))


def test_blanks_around_true_are_no_true(say) -> None:
    frame = pd.DataFrame({"filepath": ["a"], "label": ["x"], "embedding": [[1.0, 0.0]]})
    frame.to_parquet("source.parquet")
    frame.assign(label="y").to_parquet("target.parquet")
    keys = ("source_parquet=source.parquet", "target_parquet=target.parquet", "output_parquet=out.parquet")
    for flag, kept in (("true", 0), ("' true '", 1)):
        assert say("tmm", "nearest_neighbors", *keys, "topn=1", f"filter_by_label={flag}")[0] == 0
        assert len(pd.read_parquet("out.parquet")) == kept


# --- visual_changenet -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [("model.backbone.type=fan_small_12_p4_hybrid",), ("model.backbone.type=unknown",), ("task=segment",)],
)
def test_what_the_engine_cannot_do_is_refused_by_name_and_recorded(say, words: tuple[str, ...]) -> None:
    assert difference("classify-without-fan")
    code, text = say("visual_changenet", "train", "results_dir=r", "task=classify", *words)
    assert (code, "ERROR" in text) == (1, True)
    assert Path("r/train/experiment.yaml").is_file()
    last = json.loads(Path("r/train/status.json").read_text().splitlines()[-1])
    assert last["status"] == "FAILURE"


def test_each_run_writes_its_own_status(say) -> None:
    assert difference("status-of-one-run")
    for _ in range(2):
        say("visual_changenet", "evaluate", "task=classify", "results_dir=r")
    first, *_ = Path("r/evaluate/status.json").read_text().splitlines()
    assert Path("r/evaluate/status.json").read_text().count(json.loads(first)["message"]) == 1


def test_the_engines_own_keys_are_there_and_other_sections_are_left_alone(say) -> None:
    assert difference("embedded-keys")
    Path("spec.yaml").write_text("wandb: {enable: false}\nexport: {opset_version: 17}\n")
    code, text = say("visual_changenet", "train", "-e", "spec.yaml", "--cfg=job")
    found = yaml.safe_load(text.removesuffix("Execution status: PASS\n"))
    assert code == 0
    assert found["export"] == {"opset_version": 17}
    assert found["train"]["embedded"]


# --- embedding ------------------------------------------------------------------------------------


def test_the_embeddings_own_keys_are_written_down(say) -> None:
    assert difference("embedding-own-keys")
    code, text = say("embedding", "image_embeddings", "--cfg=job")
    assert (code, "statistics_parquet: ''" in text) == (0, True)


def test_all_lights_of_a_row_are_embedded_where_a_list_names_them_and_text_is_only_carried() -> None:
    assert difference("lights-are-averaged")
    paths = {"filepath": ["a.png"], "golden_filepath": ["g.png"]}
    lists = pa.table({**paths, "light_filepaths": [["a.png", "b.png"]]})
    assert samples_of(lists)[0].images == ("a.png", "b.png")
    texts = pa.table({**paths, "light_filepaths": ["nope"]})
    assert samples_of(texts)[0].images == ("a.png",)
