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
from deft.embedding.merging import STATISTICS, rejected_rows, write_merged
from deft.embedding.parts import Parts
from deft.embedding.samples import SampleEmbedder
from deft.embedding.sets import EMBEDDING, FILEPATH, PoolReference, read_arrow, require_same_fingerprint
from deft.errors import StageFailed, UsageError
from deft.tools.output import report_progress, say

GOLDEN = "golden_filepath"
LIGHTS, GOLDEN_LIGHTS = "light_filepaths", "golden_light_filepaths"
REJECTED_SHARE = 0.05


@dataclass
class ImageEmbeddingsConfig:
    """Keys of the spec.

    Ours are `statistics_parquet`, the embedded pool of `deft_pair` targets, and `precision`, in which SigLIP
    and CLIP multiply: fp32, bf16, or auto for what the processor does natively.
    """

    input_parquet: str = "???"
    output_parquet: str = "???"
    model: str = "???"
    model_path: str = "???"
    model_config_path: str = ""
    batch_size: int = 64
    statistics_parquet: str = ""
    precision: str = "fp32"


def run(config: ImageEmbeddingsConfig) -> None:
    """Embed the rows of `input_parquet` into `output_parquet`; a killed call resumes where it was.

    Rejected rows go to `<output stem>_rejected.csv`. Raises StageFailed when more than 5 % of all are,
    UsageError and InputRefused for keys and tables that cannot be used; then no output is written.
    """
    source, output = Path(config.input_parquet), Path(config.output_parquet)
    if config.batch_size < 1:
        raise UsageError("batch_size must be at least 1", value=config.batch_size)
    table = _rows(source)
    reference = pool_reference(config)
    encoder = encoder_of(config, calibration_of(config, table, reference), reference)
    say(f"Total images to process: {table.num_rows}")
    key = files.sha256_of_record([files.sha256_of_file(source), encoder.fingerprint, config.batch_size])
    parts = Parts(output, key=key, rows=table.num_rows, rows_per_part=encoder.rows_per_part)
    _embed_parts(encoder, table, parts)
    rejected = write_rejected(output, table, rejected_rows(parts))
    if len(rejected):
        say(f"Rejected images: {len(rejected)} of {table.num_rows}, listed in {_rejected_path(output)}")
    if len(rejected) > REJECTED_SHARE * table.num_rows:
        parts.remove()  # an image may be mended in place: the next call looks at each again
        raise too_many_rejected(output, rejected, table.num_rows)
    write_merged(output, table, parts, encoder, reference)
    parts.remove()
    clean()


def _rows(source: Path) -> Any:
    """Return the input without an old embedding."""
    table = read_arrow(source, required=(FILEPATH,))
    return table.drop_columns([EMBEDDING] if EMBEDDING in table.column_names else [])


def samples_of(table: Any) -> list[Sample]:
    """Return what is embedded of each row of an Arrow table."""
    images = _lights(table, FILEPATH, LIGHTS)
    goldens = _lights(table, GOLDEN, GOLDEN_LIGHTS)
    return [Sample(*sides) for sides in zip(images, goldens, strict=True)]


def _lights(table: Any, single: str, several: str) -> list[tuple[str, ...]]:
    """Return the files of each row: those of a list column where it holds a list, else the one, else none."""
    firsts = table.column(single).to_pylist() if single in table.column_names else [None] * table.num_rows
    lists = table.column(several).to_pylist() if several in table.column_names else [None] * table.num_rows
    return [
        tuple(map(str, many)) if isinstance(many, list) and many else ((str(one),) if one else ())
        for one, many in zip(firsts, lists, strict=True)
    ]


def pool_reference(config: ImageEmbeddingsConfig) -> PoolReference | None:
    """Return what the pool lends to its targets, where the call is for targets."""
    if not config.statistics_parquet:
        return None
    if config.model != DEFT_PAIR:
        raise UsageError(f"statistics_parquet is a key of model={DEFT_PAIR}", value=config.model)
    return PoolReference.read(Path(config.statistics_parquet))


def calibration_of(
    config: ImageEmbeddingsConfig, table: Any, reference: PoolReference | None
) -> tuple[str, ...]:
    """Return the images that the encoder is calibrated on: the pool's, whichever side is embedded."""
    if reference is not None:
        return reference.calibration
    if config.model != DEFT_PAIR:
        return ()
    from deft.embedding.deft_pair import calibration_images

    return tuple(calibration_images(samples_of(table)))


def encoder_of(
    config: ImageEmbeddingsConfig, calibration: tuple[str, ...], reference: PoolReference | None
) -> Encoder:
    """Load the encoder; a target's must be the one that made the pool's table."""
    encoder = load_encoder(
        config.model,
        config.model_path,
        config.model_config_path,
        batch_size=config.batch_size,
        calibration=calibration,
        precision=config.precision,
    )
    if reference is not None:
        pool = {name: value for name, value in reference.fingerprint.items() if name != STATISTICS}
        require_same_fingerprint(pool, encoder.fingerprint, Path(config.statistics_parquet))
    return encoder


def _embed_parts(encoder: Encoder, table: Any, parts: Parts) -> None:
    """Embed the parts that are missing or of other image contents, unless too many rows are rejected."""
    embedder, total = SampleEmbedder(encoder), table.num_rows
    rejected = 0
    for part in range(len(parts)):
        rows = parts.rows(part)
        samples = samples_of(table.slice(rows.start, len(rows)))
        if not parts.exists(part) or parts.contents(part) != embedder.contents(samples):

            def show(done: int, of: int, rows: range = rows) -> None:
                report_progress(rows.start + len(rows) * done // of, total, "row")

            parts.write(part, embedder.embed(samples, show))
        report_progress(rows.stop, total, "row")
        rejected += len(parts.read(part).rejected)
        if rejected > REJECTED_SHARE * total:
            return


def write_rejected(output: Path, table: Any, rejected: dict[int, str]) -> pd.DataFrame:
    """Write the rejected rows (numbered from 1) beside the output, or remove an earlier list of them."""
    samples = samples_of(table.take(np.array(list(rejected), dtype=np.int64)))
    lines = [
        (row + 1, (*sample.images, "")[0], reason)
        for (row, reason), sample in zip(rejected.items(), samples, strict=True)
    ]
    found = pd.DataFrame(lines, columns=["row", FILEPATH, "reason"])
    if lines:
        files.write_csv(_rejected_path(output), found)
    else:
        _rejected_path(output).unlink(missing_ok=True)
    return found


def _rejected_path(output: Path) -> Path:
    return output.with_name(f"{output.stem}_rejected.csv")


def too_many_rejected(output: Path, rejected: pd.DataFrame, total: int) -> StageFailed:
    """Return what to tell about a run whose table would lack too many rows."""
    first = rejected.iloc[0]
    return StageFailed(
        f"{len(rejected)} of {total} rows cannot be embedded, more than {REJECTED_SHARE:.0%} "
        f"(first: row {first['row']}, {first['reason']})",
        value=first[FILEPATH],
        hint=f"mend or remove the rows listed in {_rejected_path(output)}",
    )
