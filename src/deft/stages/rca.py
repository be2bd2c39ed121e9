"""Root cause analysis: which samples are weakest at the threshold, and ten pictures of them to look at."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from PIL import Image

from deft import files
from deft.platforms.base import ToolCall
from deft.run.gap_spec import gap_limits, gap_spec
from deft.stages.base import Outcome, Record, Stage, StageContext
from deft.workspace.components import join_gaps, kpi_components
from deft.workspace.image_digests import agreed_images
from deft.workspace.images import open_image
from deft.workspace.rows import PASS
from deft.workspace.training_spec import images_folder, read_baseline_spec

PICTURES_PER_SIDE = 5
LONGEST_WORD = 20
PICTURE_SIZE = 128
SPEC = "vcn_aoi_spec.yaml"


class Rca(Stage):
    """Analyse the gaps of the incumbent's inference: it is what the next iteration starts from."""

    name: ClassVar[str] = "rca"
    timestamped: ClassVar[bool] = True

    def place(self, context: StageContext) -> Path:
        return context.phase.rca_results

    def reads(self, context: StageContext) -> list[Path]:
        incumbent = context.figures(context.incumbent)
        return [Path(incumbent["inference_csv"]), Path(incumbent["training_spec"])]

    def parameters(self, context: StageContext) -> Record:
        images = agreed_images(context.plan, context.run.workspace, ("kpi",))
        return {"images": images, **gap_limits(context.plan)}

    def work(self, context: StageContext, folder: Path) -> Outcome:
        self._analyse(context, folder)
        gaps = files.read_parquet(folder / "kpi_gaps.parquet")
        weakest = spot_check_rows(join_gaps(gaps, kpi_components(context.run.workspace)))
        write_spot_check(weakest, folder)
        threshold = (folder / "threshold.txt").read_text()
        misclassified = gaps[gaps["weakness"] > 0]
        return Outcome(
            summary=f"{len(misclassified)} of {len(gaps)} weak images misclassified, "
            f"threshold {float(threshold):.6g}",
            values={
                "rca_gaps_parquet": folder / "kpi_gaps.parquet",
                "rca_threshold": float(threshold),
                "rca_target_defects": sorted(set(gaps["label"]) - {PASS}),
                "rca_folder": folder / "",
                "rca_of": context.incumbent,
            },
        )

    def _analyse(self, context: StageContext, folder: Path) -> None:
        workspace = context.run.workspace
        images = str(images_folder(read_baseline_spec(workspace), "infer", workspace))
        spec = gap_spec(context.plan, context.figures(context.incumbent), images)
        call = ToolCall(
            category="gap_analysis",
            action="vcn_aoi",
            spec=files.write_yaml(folder / SPEC, spec),
            overrides={"results_dir": folder},
            reads=(workspace.root,),
            writes=folder,
            log=folder / "gap_analysis.log",
            title=f"rca {context.phase.name}",
        )
        context.call([call])


def spot_check_rows(gaps: pd.DataFrame) -> pd.DataFrame:
    """Return the five weakest PASS and the five weakest other components, weakest first."""
    ordered = gaps.sort_values("weakness", ascending=False, kind="stable")
    is_pass = ordered["label"] == PASS
    sides = [ordered[is_pass].head(PICTURES_PER_SIDE), ordered[~is_pass].head(PICTURES_PER_SIDE)]
    return pd.concat(sides, ignore_index=True)


def write_spot_check(weakest: pd.DataFrame, folder: Path) -> None:
    """Write one picture a component (tested image left, golden right, 128 px each) and their list."""
    images = folder / "rca_images"
    images.mkdir(exist_ok=True)
    records: list[dict[str, Any]] = []
    for number, row in enumerate(weakest.to_dict("records"), start=1):
        name = f"{number:02d}_{_word(str(row['label']))}.png"
        _beside_golden(row["filepath"], row["golden_filepath"]).save(images / name, compress_level=1)
        keys = ("component_id", "label", "siamese_score", "weakness", "filepath", "golden_filepath")
        records.append({"number": number, "image": f"rca_images/{name}", **{k: row[k] for k in keys}})
    files.write_json(folder / "spot_check.json", {"samples": records})


def _word(label: str) -> str:
    """Return a label as part of a file name; what is longer than a name could be a sentence to a model."""
    word = re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-")
    return word if 0 < len(word) <= LONGEST_WORD else "defect"


def _beside_golden(image: str, golden: str) -> Image.Image:
    """Draw both images side by side; a golden that is not there (empty) leaves its half white."""
    sheet = Image.new("RGB", (2 * PICTURE_SIZE + 8, PICTURE_SIZE), "white")
    for position, path in enumerate(filter(None, (image, golden))):
        picture = open_image(Path(path)).resize((PICTURE_SIZE, PICTURE_SIZE), Image.Resampling.BICUBIC)
        sheet.paste(picture, (position * (PICTURE_SIZE + 8), 0))
    return sheet
