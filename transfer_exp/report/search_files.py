"""What a search of a pool found, as files that other programs read."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from transfer_exp.io.atomic import write_atomically
from transfer_exp.results.cell import CellResult, ModelResult
from transfer_exp.results.search import SearchResult

_COUNTS = ("rank", "images", "best_rank", "worst_rank")


def frame_of(found: SearchResult) -> pd.DataFrame:
    """Return a row for each model, best first, with the fields of `SearchedModel` as columns."""
    frame = pd.DataFrame([asdict(model) for model in found.models])
    numbers = frame.columns.difference([*_COUNTS, "model", "reason"])
    return frame.astype(dict.fromkeys(_COUNTS, "Int64") | dict.fromkeys(numbers, "float64"))


def write_found(found: SearchResult, folder: Path) -> list[Path]:
    """Write ``rank.csv`` and ``rank.parquet`` into a folder, and return their paths."""
    frame, paths = frame_of(found), [folder / "rank.csv", folder / "rank.parquet"]
    write_atomically(paths[0], lambda path: frame.to_csv(path, index=False, lineterminator="\n"))
    write_atomically(paths[1], lambda path: frame.to_parquet(path, index=False))
    return paths


def as_cell(found: SearchResult) -> CellResult:
    """Return the models of the last round as a cell without ground truth, for records and pages of cells."""
    most = max(model.images for model in found.models)
    models = []
    for model in found.models:
        dropped = f"dropped after {model.images} images, at rank {model.rank}"
        reason = model.reason or (dropped if model.images < most else "")
        models.append(ModelResult(model.model, None if reason else model.score, reason=reason))
    return CellResult({**found.cell, "ground_truth": "none"}, tuple(models))
