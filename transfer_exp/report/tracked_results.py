"""Convert finished jobs and sweeps to the `TrackedResults` that an experiment tracker such as W&B records.

A job scores a cell (one pool on one dataset), searches a pool for the best model, or precomputes what later jobs need.
The names of values, tables, images and artifacts stay as they are, because runs in a tracker are compared by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_exp.io.atomic import digest
from transfer_exp.report.pair_table import pair_frame
from transfer_exp.report.record import plain_rows, ranking_rows, search_frame
from transfer_exp.report.sweep_cells import cell_fields, collect, read_jobs
from transfer_exp.results.cell import CellResult
from transfer_exp.results.search import SearchResult
from transfer_exp.tracker.tracker import Artifact, TrackedResults, further_labels

if TYPE_CHECKING:
    from transfer_exp.features.model_on_target import CacheReference


def cell_results(
    result: CellResult, references: Iterable[CacheReference], figure: Path | None, files: Sequence[Path]
) -> TrackedResults:
    """Return the results of a scored cell.

    Args:
        result: Scores and accuracies of the cell.
        references: Cached features that the scores were computed from.
        figure: Image file with the plot of scores and accuracies; None if it was not drawn.
        files: Files with the record of the cell, such as ``result.json``, for the artifact.
    """
    summary: dict[str, float | int | bool] = {**result.measures}
    summary |= {"models_compared": result.compared, "tied": result.tied}
    if result.null_band is not None:
        summary["null_band_low"], summary["null_band_high"] = result.null_band
    return TrackedResults(
        summary,
        tables={"models": ranking_rows(result)},
        images={} if figure is None else {"scatter": figure},
        output_artifacts=[_ranking_artifact("ranking", result.cell, files)],
        input_artifacts=_feature_artifacts(references),
    )


def search_results(search: SearchResult, files: Sequence[Path]) -> TrackedResults:
    """Return the results of a search of a pool; ``files`` are those with its record, for the artifact."""
    summary: dict[str, float | int | bool] = {"images": search.images, "pushed": search.forward_passes}
    summary |= {"seconds": search.seconds, "may_be_best": len(search.best)}
    summary |= {} if search.expected_regret is None else {"expected_regret": search.expected_regret}
    outputs = [_ranking_artifact("rank", search.cell, files)]  # of the command ``rank``
    tables = {"models": plain_rows(search_frame(search))}
    tables |= {"pairs": plain_rows(pair_frame(search))} if search.pairs else {}
    return TrackedResults(summary, tables, output_artifacts=outputs)


def precompute_results(
    stage: str, counts: Sequence[Mapping[str, Any]], cache_references: Iterable[CacheReference]
) -> TrackedResults:
    """Return the results of a precompute job, which fills the store with features or accuracies.

    Args:
        stage: ``features`` (extracts features), ``grid`` (trains points of a grid) or ``finetune`` (accuracies).
        counts: Rows with ``what`` was requested, whether it ``was_there`` in the store, and the ``count``.
        cache_references: Cached features, which the stage ``features`` makes and the other stages use.
    """
    features = _feature_artifacts(cache_references)
    summary = {
        name: sum(row["count"] for row in counts if row["was_there"] == was_there)
        for name, was_there in (("read", True), ("computed", False))
    }
    outputs, inputs = (features, []) if stage == "features" else ([], features)
    tables = {"found": counts} if counts else {}
    return TrackedResults(summary, tables, output_artifacts=outputs, input_artifacts=inputs)


def sweep_results(folder: Path, scores: bool) -> TrackedResults:
    """Return the results of a sweep that has ended, with a row for each job, also for failed ones.

    Args:
        folder: Folder of the sweep; holds ``sweep.csv`` and ``sweep.png`` if its jobs score cells.
        scores: Whether its jobs score cells.
    """
    table, figure = folder / "sweep.csv", folder / "sweep.png"
    frame = collect(folder) if scores else read_jobs(folder)
    common_fields = {name: str(frame[name].iloc[0]) for name in cell_fields(frame) if frame[name].nunique() == 1}
    summary = {"cells": len(frame), "failed": int((frame["state"] != "done").sum())}
    images = {"taus": figure} if scores and figure.is_file() else {}
    outputs = [Artifact(f"sweep-{folder.name}", "sweep", [table], metadata=common_fields)] if scores else []
    return TrackedResults(summary, {"cells": plain_rows(frame)}, images, output_artifacts=outputs)


def _ranking_artifact(name: str, cell: Mapping[str, str], files: Sequence[Path]) -> Artifact:
    """Return the files of a run as an artifact, named by the cell's labels without regime and seed.

    Runs that differ only in these are versions of one artifact.
    """
    fields = ("model_pool", "dataset", "perturbation", "metric")
    labels = [*(cell[field] for field in fields), *further_labels(cell)]
    return Artifact("-".join([name, *labels]), "ranking", files, metadata=cell)


def _feature_artifacts(cache_references: Iterable[CacheReference]) -> list[Artifact]:
    """Return each feature set, named by model, dataset, split and the first digits of its key's sha256."""
    artifacts = []
    for reference in cache_references:
        sha256 = digest(reference.key)
        source = {"model": reference.model, "dataset": reference.dataset, "split": reference.split}
        name = "-".join([*source.values(), sha256[:8]])  # enough to distinguish the feature sets of one split
        addresses = {f"{sha256}.safetensors": reference.address}
        metadata = {**source, "sha256": sha256, "key": reference.key}
        artifacts.append(Artifact(name, "features", addresses=addresses, metadata=metadata))
    return artifacts
