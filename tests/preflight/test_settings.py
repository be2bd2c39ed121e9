"""Every setting has a value and a source; what cannot be is refused by name."""

from __future__ import annotations

import pytest

from deft.errors import UsageError
from deft.preflight.settings import Facts, settle


def facts(**changes) -> Facts:
    spec = {"dataset": {"classify": {"batch_size": 96}}, "train": {"num_epochs": 10, "seed": 7}}
    found = {
        "spec": spec,
        "smallest_scored_split": 300,
        "training_rows": 350,
        "default_encoder": "deft_pair",
        "gpus": 0,
        "precision": "bf16-mixed",
        "precisions": ("32-true", "bf16-mixed"),
    }
    return Facts(**{**found, **changes})


def test_the_users_word_beats_the_spec_and_the_spec_the_default():
    settings = settle({"num_epochs": 3}, facts())
    assert settings["num_epochs"] == {"value": 3, "source": "user"}
    assert settings["seed"] == {"value": 7, "source": "spec"}
    assert settings["max_iterations"] == {"value": 3, "source": "default"}
    assert settings["precision"] == {"value": "bf16-mixed", "source": "derived"}


def test_a_batch_larger_than_the_smallest_set_is_lowered_and_called_derived():
    settings = settle({}, facts(smallest_scored_split=40))
    assert settings["batch_size"] == {"value": 40, "source": "derived"}
    assert settings["inference_batch_size"]["value"] == 40


def test_no_more_gpus_are_asked_for_than_there_are():
    assert settle({"num_gpus": 4}, facts(gpus=1))["num_gpus"] == {"value": 1, "source": "derived"}


def test_siglip_keeps_the_documented_defaults_and_the_pair_encoder_has_its_measured_ones():
    pair, siglip = settle({}, facts()), settle({"encoder": "SigLIP"}, facts())
    assert (pair["filter_by_label"]["value"], pair["min_similarity"]["value"]) == ("class", None)
    assert (siglip["filter_by_label"]["value"], siglip["min_similarity"]["value"]) == ("none", 0.9)
    assert siglip["encoder_path"]["value"] == "google/siglip-base-patch16-224"
    assert pair["top_k_per_target"]["value"] == siglip["top_k_per_target"]["value"] == 5


@pytest.mark.parametrize(("text", "value"), [("0.7", 0.7), ("p25", "p25"), ("none", None), ("-0.2", -0.2)])
def test_a_similarity_cut_is_a_cosine_a_percentile_or_nothing(text, value):
    assert settle({"min_similarity": text}, facts())["min_similarity"] == {"value": value, "source": "user"}


@pytest.mark.parametrize(
    "given",
    [
        {"max_iterations": 0},
        {"num_epochs": -1},
        {"top_k_per_target": 0},
        {"batch_size": 1},
        {"mining": "all"},
        {"filter_by_label": "true"},
        {"knn_metric": "l7"},
        {"encoder": "ResNet"},
        {"min_similarity": "close"},
        {"min_similarity": "1.5"},
        {"min_similarity": "p101"},
        {"min_similarity": "0.5", "knn_metric": "euclidean"},
        {"synthetic_share": 1.5},
        {"colour": "red"},
        {"precision": "fp8"},
        {"seed": -5},
        {"threads": -1},
        {"threads": 100_000},
    ],
    ids=lambda given: ",".join(f"{name}={value}" for name, value in given.items()),
)
def test_a_setting_that_cannot_be_is_refused_by_name(given):
    name = next(iter(given))
    with pytest.raises(UsageError, match=name):
        settle(given, facts())


@pytest.mark.parametrize(
    ("train", "named"),
    [
        ({"precision": "fp8"}, "precision"),
        ({"seed": -1}, "seed"),
        ({"embedded": {"threads": "many"}}, "threads"),
    ],
)
def test_what_the_spec_says_is_held_to_the_same_ranges_and_named_as_the_specs(train, named):
    spec = {"dataset": {"classify": {"batch_size": 96}}, "train": train}
    with pytest.raises(UsageError, match=rf"{named}[\s\S]*source: spec[\s\S]*deft preflight --{named}"):
        settle({}, facts(spec=spec))


def test_the_least_and_the_largest_seed_and_number_of_threads_are_allowed():
    for given in ({"seed": 0, "threads": 0}, {"seed": 2**63 - 1, "threads": 1024}):
        settled = settle(given, facts())
        assert {name: settled[name]["value"] for name in given} == given


def test_a_precision_that_only_an_image_knows_is_left_to_the_image():
    assert settle({"precision": "fp16"}, facts(precisions=()))["precision"]["value"] == "fp16"
