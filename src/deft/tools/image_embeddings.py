"""`embedding image_embeddings`: one vector for each row of a table of images.

Keys, columns and log follow the container (contract section 2). Deliberately different: a bad image costs
its row, not the run; columns are carried by position, so duplicate paths do not multiply rows; the table
names its encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deft import files
from deft.embedding.cache import clean
from deft.embedding.encoders import DEFT_PAIR, Encoder, Sample, load_encoder
from deft.embedding.parts import Parts
from deft.embedding.samples import Embedded, SampleEmbedder
from deft.embedding.sets import (
    EMBEDDING,
    FILEPATH,
    WIDTH,
    PoolReference,
    read_arrow,
    require_same_fingerprint,
    write_embeddings,
)
from deft.embedding.standardisation import PoolStatistics, combine
from deft.errors import StageFailed, UsageError
from deft.tools.output import report_progress, say

GOLDEN = "golden_filepath"
LIGHTS, GOLDEN_LIGHTS = "light_filepaths", "golden_light_filepaths"
REJECTED_SHARE = 0.05
STATISTICS = "statistics"


@dataclass
class ImageEmbeddingsConfig:
    """Keys of the spec; `statistics_parquet` (ours): the embedded pool of `deft_pair` targets."""

    input_parquet: str = "???"
    output_parquet: str = "???"
    model: str = "???"
    model_path: str = "???"
    model_config_path: str = ""
    batch_size: int = 64
    statistics_parquet: str = ""


def run(config: ImageEmbeddingsConfig) -> None:
    """Embed the rows of `input_parquet` into `output_parquet`; a killed call resumes where it was.

    Rejected rows go to `<output stem>_rejected.csv`. Raises StageFailed when more than 5 % of all are,
    UsageError and InputRefused for keys and tables that cannot be used; then no output is written.
    """
    source, output = Path(config.input_parquet), Path(config.output_parquet)
    if config.batch_size < 1:
        raise UsageError("batch_size must be at least 1", value=config.batch_size)
    table = _rows(source)
    samples = _samples(table)
    reference = _pool_reference(config)
    encoder = _encoder(config, samples, reference)
    say(f"Total images to process: {len(samples)}")
    key = files.sha256_of_record([files.sha256_of_file(source), encoder.fingerprint, config.batch_size])
    parts = Parts(output, key=key, rows=len(samples), rows_per_part=encoder.rows_per_part)
    embedded = _embed_parts(encoder, samples, parts)
    rejected = _write_rejected(output, samples, embedded.rejected)
    if len(rejected) > REJECTED_SHARE * len(samples):
        parts.remove()  # an image may be mended in place: the next call looks at each again
        raise _too_many_rejected(output, rejected, len(samples))
    _write(output, table, encoder, embedded, reference)
    parts.remove()
    clean()


def _rows(source: Path) -> Any:
    """Return the input without an old embedding."""
    table = read_arrow(source, required=(FILEPATH,))
    return table.drop_columns([EMBEDDING] if EMBEDDING in table.column_names else [])


def _samples(table: Any) -> list[Sample]:
    images = _lights(table, FILEPATH, LIGHTS)
    goldens = _lights(table, GOLDEN, GOLDEN_LIGHTS)
    return [Sample(*sides) for sides in zip(images, goldens, strict=True)]


def _lights(table: Any, single: str, several: str) -> list[tuple[str, ...]]:
    """Return the files of each row: the list column where it holds one, else the single column, else none."""
    firsts = table.column(single).to_pylist() if single in table.column_names else [None] * table.num_rows
    lists = table.column(several).to_pylist() if several in table.column_names else [None] * table.num_rows
    return [
        tuple(many) if many else ((str(one),) if one else ()) for one, many in zip(firsts, lists, strict=True)
    ]


def _pool_reference(config: ImageEmbeddingsConfig) -> PoolReference | None:
    if not config.statistics_parquet:
        return None
    if config.model != DEFT_PAIR:
        raise UsageError(f"statistics_parquet is a key of model={DEFT_PAIR}", value=config.model)
    return PoolReference.read(Path(config.statistics_parquet))


def _encoder(
    config: ImageEmbeddingsConfig, samples: list[Sample], reference: PoolReference | None
) -> Encoder:
    """Load the encoder; a target's must be the one that made the pool's table."""
    calibration: tuple[str, ...] = ()
    if reference is not None:
        calibration = reference.calibration
    elif config.model == DEFT_PAIR:
        from deft.embedding.deft_pair import calibration_images

        calibration = tuple(calibration_images(samples))
    encoder = load_encoder(
        config.model,
        config.model_path,
        config.model_config_path,
        batch_size=config.batch_size,
        calibration=calibration,
    )
    if reference is not None:
        pool = {name: value for name, value in reference.fingerprint.items() if name != STATISTICS}
        require_same_fingerprint(pool, encoder.fingerprint, Path(config.statistics_parquet))
    return encoder


def _embed_parts(encoder: Encoder, samples: list[Sample], parts: Parts) -> Embedded:
    embedder = SampleEmbedder(encoder)
    rejected = 0
    for part in range(len(parts)):
        rows = parts.rows(part)
        if not parts.exists(part):

            def show(done: int, total: int, rows: range = rows) -> None:
                report_progress(rows.start + len(rows) * done // total, len(samples), "row")

            parts.write(part, embedder.embed(samples[rows.start : rows.stop], show))
        report_progress(rows.stop, len(samples), "row")
        rejected += len(parts.read(part).rejected)
        if rejected > REJECTED_SHARE * len(samples):
            return parts.merge(part + 1)  # the rest cannot save the run
    return parts.merge(len(parts))


def _write_rejected(output: Path, samples: list[Sample], rejected: dict[int, str]) -> pd.DataFrame:
    """Write the rejected rows (numbered from 1) beside the output, or remove an earlier list of them."""
    lines = [(row + 1, (*samples[row].images, "")[0], reason) for row, reason in rejected.items()]
    table = pd.DataFrame(lines, columns=["row", FILEPATH, "reason"])
    if lines:
        files.write_csv(_rejected_path(output), table)
        say(f"Rejected images: {len(table)} of {len(samples)}, listed in {_rejected_path(output)}")
    else:
        _rejected_path(output).unlink(missing_ok=True)
    return table


def _rejected_path(output: Path) -> Path:
    return output.with_name(f"{output.stem}_rejected.csv")


def _too_many_rejected(output: Path, rejected: pd.DataFrame, total: int) -> StageFailed:
    first = rejected.iloc[0]
    return StageFailed(
        f"{len(rejected)} of {total} rows cannot be embedded, more than {REJECTED_SHARE:.0%} "
        f"(first: row {first['row']}, {first['reason']})",
        value=first[FILEPATH],
        hint=f"mend or remove the rows listed in {_rejected_path(output)}",
    )


def _write(
    output: Path, table: Any, encoder: Encoder, embedded: Embedded, reference: PoolReference | None
) -> None:
    """Write the accepted rows; a pool whose encoder weighs its components also lends its statistics."""
    fingerprint = dict(encoder.fingerprint)
    lent = None
    if encoder.weights:
        statistics = reference.statistics if reference else PoolStatistics.over(embedded.blocks)
        matrix = combine(embedded.blocks or statistics.empty_blocks(), statistics, encoder.weights)
        fingerprint[STATISTICS] = statistics.digest()
        lent = None if reference else PoolReference(fingerprint, statistics, encoder.calibration)
    else:
        matrix = np.concatenate(embedded.blocks or [np.empty((0, 0), np.float32)], axis=1)
    fingerprint[WIDTH] = matrix.shape[1]
    accepted = table.take(np.array(embedded.accepted, dtype=np.int64))
    write_embeddings(output, accepted, matrix, fingerprint, lent)
