from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from deft.embedding.encoders import Encoder, Item, Sample
from deft.embedding.samples import SampleEmbedder
from deft.errors import InputRefused


class ByteCounter:
    """Turn a file into (its length, the number of its b's) and remember what was asked."""

    def __init__(self, name: str = "counter", batch_size: int = 2) -> None:
        self.identity: dict[str, object] = {"name": name}
        self.batch_size = batch_size
        self.batches: list[int] = []

    def items(self, sample: Sample) -> list[Item]:
        return [(image,) for image in sample.images]

    def load(self, item: Item) -> bytes:
        content = Path(item[0]).read_bytes()
        if content == b"broken":
            raise InputRefused("image cannot be read", value=item[0])
        return content

    def embed(self, loaded: Sequence[bytes]) -> np.ndarray:
        self.batches.append(len(loaded))
        return np.array([[len(content), content.count(b"b")] for content in loaded], np.float32)


def encoder(*components: ByteCounter) -> Encoder:
    return Encoder({}, components, rows_per_part=10)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    contents = {"a": "a", "bb": "bb", "again": "bb", "ccc": "ccc", "broken": "broken"}
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    return {name: str(tmp_path / name) for name in (*contents, "absent")}


def test_each_row_gets_its_vector_in_order(files: dict[str, str]) -> None:
    samples = [Sample((files[name],)) for name in ("ccc", "a", "bb")]
    embedded = SampleEmbedder(encoder(ByteCounter())).embed(samples)
    np.testing.assert_array_equal(embedded.blocks[0], [[3, 0], [1, 0], [2, 2]])
    assert (embedded.accepted, embedded.rejected) == ([0, 1, 2], {})


def test_the_same_content_is_computed_once_whatever_its_name_and_never_again(files: dict[str, str]) -> None:
    first, second = ByteCounter(batch_size=10), ByteCounter(batch_size=10)
    samples = [Sample((files[name],)) for name in ("bb", "again", "bb", "a")]
    before = SampleEmbedder(encoder(first)).embed(samples)
    after = SampleEmbedder(encoder(second)).embed(samples)
    assert (first.batches, second.batches) == ([2], [])
    np.testing.assert_array_equal(before.blocks[0], after.blocks[0])


def test_an_encoder_with_another_identity_computes_anew(files: dict[str, str]) -> None:
    SampleEmbedder(encoder(ByteCounter("one"))).embed([Sample((files["a"],))])
    other = ByteCounter("two")
    SampleEmbedder(encoder(other)).embed([Sample((files["a"],))])
    assert other.batches == [1]


def test_no_batch_is_larger_than_the_component_takes(files: dict[str, str]) -> None:
    counter = ByteCounter(batch_size=2)
    SampleEmbedder(encoder(counter)).embed([Sample((files[name],)) for name in ("a", "bb", "ccc")])
    assert counter.batches == [2, 1]


def test_lights_of_a_row_are_averaged(files: dict[str, str]) -> None:
    embedded = SampleEmbedder(encoder(ByteCounter())).embed([Sample((files["a"], files["bb"]))])
    np.testing.assert_array_equal(embedded.blocks[0], [[1.5, 1]])


def test_a_bad_file_costs_its_rows_and_no_others(files: dict[str, str]) -> None:
    names = ("broken", "a", "absent", "broken")
    samples = [*(Sample((files[name],)) for name in names), Sample((files["a"], files["broken"])), Sample(())]
    embedded = SampleEmbedder(encoder(ByteCounter())).embed(samples)
    assert embedded.accepted == [1]
    assert embedded.rejected == {
        0: "image cannot be read",
        2: "file cannot be read (No such file or directory)",
        3: "image cannot be read",
        4: "image cannot be read",
        5: "row names no image",
    }
    np.testing.assert_array_equal(embedded.blocks[0], [[1, 0]])


def test_a_file_renamed_from_a_broken_one_is_rejected_like_it(files: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("broken")
    samples = [Sample((files["broken"],)), Sample((str(tmp_path / "copy"),))]
    assert len(SampleEmbedder(encoder(ByteCounter())).embed(samples).rejected) == 2


def test_two_components_give_two_blocks_of_the_same_rows(files: dict[str, str]) -> None:
    embedder = SampleEmbedder(encoder(ByteCounter("one"), ByteCounter("two")))
    embedded = embedder.embed([Sample((files[name],)) for name in ("a", "broken", "bb")])
    assert [block.shape for block in embedded.blocks] == [(2, 2), (2, 2)]


def test_progress_ends_at_the_number_of_items_that_had_to_be_computed(files: dict[str, str]) -> None:
    seen: list[tuple[int, int]] = []
    embedder = SampleEmbedder(encoder(ByteCounter("one"), ByteCounter("two")))
    samples = [Sample((files[name],)) for name in ("a", "bb", "ccc", "again")]
    embedder.embed(samples, lambda done, total: seen.append((done, total)))
    assert seen == [(2, 6), (3, 6), (5, 6), (6, 6)]
