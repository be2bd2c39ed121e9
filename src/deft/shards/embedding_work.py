"""Embedding in shards: each embeds its rows of the table; together they make the table of one process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow.parquet as pq

from deft import files
from deft.embedding.cache import clean
from deft.embedding.encoders import Encoder, Sample
from deft.embedding.merging import rejected_rows, write_merged
from deft.embedding.parts import part_of, part_table
from deft.embedding.samples import Embedded, SampleEmbedder
from deft.embedding.sets import require_same_fingerprint
from deft.embedding.tables import rows_without_vectors
from deft.shards import images
from deft.shards.ledger import Shard, ShardFolder
from deft.shards.work import Count, rows_changed
from deft.tools.image_embeddings import (
    REJECTED_SHARE,
    ImageEmbeddingsConfig,
    calibration_of,
    encoder_of,
    pool_reference,
    samples_of,
    too_many_rejected,
    write_rejected,
)

OUTPUT = "embeddings.parquet"
CONFIG = ("model", "model_path", "batch_size", "statistics_parquet", "precision")


@dataclass(frozen=True)
class Recipe:
    """What the plan settled about the encoder."""

    fingerprint: dict[str, object]
    weights: tuple[float, ...]
    calibration: tuple[str, ...]

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Recipe:
        return cls(facts["encoder"], tuple(facts["weights"]), tuple(facts["calibration"]))


def settle(config: ImageEmbeddingsConfig, rows: int) -> dict[str, Any]:
    """Return what holds for all shards of an embedding: encoder, weights, calibration, rows."""
    source, reference = Path(config.input_parquet), pool_reference(config)
    calibration = calibration_of(config, rows_without_vectors(source, 0, rows), reference)
    encoder = encoder_of(config, calibration, reference)
    return {
        "encoder": encoder.fingerprint,
        "weights": list(encoder.weights),
        "calibration": list(calibration),
        "rows": rows,
    }


def rows_digest(source: Path, start: int, stop: int) -> str:
    """Return the hash of which images some rows name; what stands in them is in the receipt."""
    samples = samples_of(rows_without_vectors(source, start, stop))
    return files.sha256_of_record([[sample.images, sample.goldens] for sample in samples])


def _samples(shard: Shard) -> list[Sample]:
    return samples_of(rows_without_vectors(Path(shard.source), shard.start, shard.stop))


@dataclass(frozen=True)
class EmbeddingWork:
    """The embedding that a folder's plan asks for."""

    folder: ShardFolder

    def seen(self, shard: Shard) -> dict[str, str]:
        """Return how the images of a shard look now."""
        return images.seen(_samples(shard))

    def changed(self, shard: Shard, seen: Mapping[str, str]) -> bool:
        """Tell whether images of a shard were replaced since they were seen."""
        return images.changed(_samples(shard), seen)

    def compute(self, shard: Shard, stream: IO[bytes], progress: Count) -> int:
        """Embed the rows of a shard in parts; a part is a row group of the result."""
        source = Path(shard.source)
        if rows_digest(source, shard.start, shard.stop) != shard.sha256:
            raise rows_changed(shard)
        table, encoder = rows_without_vectors(source, shard.start, shard.stop), self._encoder()
        embedder, writer = SampleEmbedder(encoder), None
        for start in range(0, table.num_rows, encoder.rows_per_part):
            samples = samples_of(table.slice(start, encoder.rows_per_part))
            part = part_table(embedder.embed(samples), shard.start + start)
            writer = writer or pq.ParquetWriter(stream, part.schema, write_page_checksum=True)
            writer.write_table(part)
            progress(len(samples))
        if writer is not None:
            writer.close()
        clean()  # a node may never embed but in shards
        return int(table.num_rows)

    def _encoder(self) -> Encoder:
        """Load the encoder; other weights on this machine than where the plan was made are refused."""
        config = self._config()
        encoder = encoder_of(config, tuple(self.folder.facts["calibration"]), pool_reference(config))
        require_same_fingerprint(self.folder.facts["encoder"], encoder.fingerprint, Path(config.model_path))
        return encoder

    def _config(self) -> ImageEmbeddingsConfig:
        given = {name: self.folder.setting(name) for name in CONFIG}
        return ImageEmbeddingsConfig(self.folder.setting("input"), str(self.folder.root / OUTPUT), **given)

    # --- all shards --------------------------------------------------------------------------

    def reduce(self) -> dict[str, Any]:
        """Write `embeddings.parquet` from verified shards; return how many rows it has.

        Raises StageFailed where too many rows are rejected; their shards are then to be done again, because
        an image may be mended in place.
        """
        config, facts = self._config(), self.folder.facts
        table = rows_without_vectors(Path(config.input_parquet), 0, facts["rows"])
        output, parts = Path(config.output_parquet), _Results(self.folder)
        rejected = write_rejected(output, table, rejected_rows(parts))
        if len(rejected) > REJECTED_SHARE * table.num_rows:
            self._withdraw(set(rejected["row"] - 1))
            raise too_many_rejected(output, rejected, table.num_rows)
        write_merged(
            output,
            table,
            parts,
            Recipe.of(facts),
            pool_reference(config),
            storage=self.folder.setting("storage"),
        )
        return {"output": str(output), "rows": table.num_rows - len(rejected), "rejected": len(rejected)}

    def _withdraw(self, rows: set[int]) -> None:
        for shard in self.folder.shards:
            if rows & set(range(shard.start, shard.stop)):
                self.folder.receipt(shard).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Results:
    """The parts in the results of all shards, in the order of the rows."""

    folder: ShardFolder

    def __iter__(self) -> Iterator[tuple[int, Embedded]]:
        for shard in self.folder.shards:
            with pq.ParquetFile(self.folder.result(shard), page_checksum_verification=True) as file:
                for group in range(file.num_row_groups):
                    yield 0, part_of(file.read_row_group(group))
