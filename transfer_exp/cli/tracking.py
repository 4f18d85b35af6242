"""What a tracker is told of each kind of job, and of a sweep as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from transfer_exp.results.cell import CellResult
from transfer_exp.results.search import SearchResult
from transfer_exp.tracker.tracker import REPORT, Artifact, TrackedRun

if TYPE_CHECKING:
    from pandas import DataFrame

    from transfer_exp.features.cache_reference import CacheReference

# Everything else is imported when a job runs: help and a typing error must not wait for torch.

_DIGITS = 8
"""Of a key's digest, enough to tell feature sets of one name apart."""


def scored(
    result: CellResult,
    config: Mapping[str, Any],
    group: str | None,
    figure: Path | None,
    files: Sequence[Path],
    stored: Iterable[CacheReference],
) -> TrackedRun:
    """Return a cell as a tracker takes it.

    Parameters
    ----------
    result, config
        The cell, and the resolved configuration that led to it.
    group
        The sweep it is of, or None.
    figure
        An image of the result, or None.
    files
        Its tables.
    cache_references
        The features it was computed from.
    """
    numbers: dict[str, float | int | bool] = {**result.measures}
    numbers |= {"models_compared": result.compared, "tied": result.tied}
    if result.null_band is not None:
        numbers["null_band_low"], numbers["null_band_high"] = result.null_band
    rows = [
        {
            "model": line.result.model,
            "score": line.result.score,
            "accuracy": line.result.accuracy,
            "score_rank": line.score_rank,
            "accuracy_rank": line.accuracy_rank,
            "reason": line.result.reason,
        }
        for line in result.ranking()
    ]
    images = {} if figure is None else {"scatter": figure}
    made, used = [_ranking("ranking", result.cell, files)], _feature_sets(stored)
    return TrackedRun("score", result.cell, config, group, numbers, {"models": rows}, images, made, used)


def filled(
    cell: Mapping[str, str],
    config: Mapping[str, Any],
    group: str | None,
    counts: Sequence[Mapping[str, Any]],
    stored: Iterable[CacheReference],
) -> TrackedRun:
    """Return a job that filled the store as a tracker takes it.

    Parameters
    ----------
    cell
        What the job is called.
    config, group, stored
        As `scored`; features are made by the stage of that name, and used by the others.
    counts
        ``what`` was asked for, whether it ``was_there``, and the ``count``.
    """
    stage, sets = str(config["stage"]), _feature_sets(stored)
    names = {True: "read", False: "computed"}
    numbers = {word: sum(c["count"] for c in counts if c["was_there"] == there) for there, word in names.items()}
    tables = {"found": counts} if counts else {}
    made, used = (sets, []) if stage == "features" else ([], sets)
    return TrackedRun(stage, cell, config, group, numbers, tables, made=made, used=used)


def searched(found: SearchResult, config: Mapping[str, Any], group: str | None, files: Sequence[Path]) -> TrackedRun:
    """Return a search of a pool as a tracker takes it; parameters as `scored`."""
    from transfer_exp.report.search_files import frame_of

    numbers: dict[str, float | int | bool] = {"images": found.images, "pushed": found.pushed}
    numbers |= {"seconds": found.seconds, "may_be_best": len(found.best)}
    numbers |= {} if found.regret is None else {"expected_regret": found.regret}
    tables = {"models": _rows(frame_of(found))}
    made = [_ranking("rank", found.cell, files)]
    return TrackedRun("rank", found.cell, config, group, numbers, tables, made=made)


def track_sweep(config: DictConfig, folder: Path) -> None:
    """Offer a sweep that is over to the tracker of its jobs, as one run.

    Parameters
    ----------
    config
        Of the sweep, what varies left at its default.
    folder
        Of the sweep, with its table where its jobs score cells.

    Raises
    ------
    InputError
        As the tracker.
    """
    from transfer_exp.cli.instantiate import build

    if "rows" in config:
        return  # the rows of a grid are all there is of it
    # Of Hydra's own part some can be resolved within a job alone.
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    plain: dict[str, Any] = OmegaConf.to_container(own, resolve=True)  # type: ignore[assignment]
    where = build("tracker", plain["tracker"]).record(_swept(plain, _axes(config.hydra), folder), folder)
    if where is not None:
        print(f"wrote {where}")


def _axes(hydra: DictConfig) -> set[str]:
    """Return what a sweep varies, as it was typed and as its file says."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    typed = OverridesParser.create().parse_overrides(list(hydra.overrides.task))
    return {o.key_or_group for o in typed if o.is_sweep_override()} | set(hydra.sweeper.get("params") or {})


def _swept(config: Mapping[str, Any], axes: Iterable[str], folder: Path) -> TrackedRun:
    """Return a sweep as a tracker takes it: what its cells share, and a row for each of them."""
    import pandas as pd

    from transfer_exp.report.precompute_table import frame_of_jobs
    from transfer_exp.report.sweep_cells import cell_fields

    table, figure = folder / "sweep.csv", folder / "sweep.png"
    scores = config["stage"] == "score"
    frame = pd.read_csv(table, keep_default_na=False, na_values=[""]) if scores else frame_of_jobs(folder)
    shared = {name: str(frame[name].iloc[0]) for name in cell_fields(frame) if frame[name].nunique() == 1}
    varied = {str(axis).lstrip("+~").partition(".")[0] for axis in axes}
    fixed = {key: value for key, value in config.items() if key not in varied}
    numbers = {"cells": len(frame), "failed": int((frame["state"] != "done").sum())}
    tables, images = {"cells": _rows(frame)}, {"taus": figure} if scores else {}
    made = [Artifact(f"sweep-{folder.name}", "sweep", [table], metadata=shared)] if scores else []
    return TrackedRun(REPORT, shared, fixed, folder.name, numbers, tables, images, made)


def _ranking(name: str, cell: Mapping[str, str], files: Sequence[Path]) -> Artifact:
    """Return the tables of one target as versions of one thing, whatever the settings."""
    fields = ("model_pool", "dataset", "perturbation", "metric")
    return Artifact("-".join([name, *(cell[field] for field in fields)]), "ranking", files, metadata=cell)


def _feature_sets(stored: Iterable[CacheReference]) -> list[Artifact]:
    """Return each feature set under a name that stays the same as long as its values do."""
    from transfer_exp.io.atomic import digest

    sets = []
    for one in stored:
        key = digest(one.key)
        names = {"model": one.model, "dataset": one.dataset, "split": one.split}
        name = "-".join([*names.values(), key[:_DIGITS]])
        address = {f"{key}.safetensors": one.address}
        sets.append(Artifact(name, "features", addresses=address, metadata={**names, "sha256": key, "key": one.key}))
    return sets


def _rows(frame: DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as plain values, None where there is none."""
    known = frame.astype(object).where(frame.notna(), None)
    return [{str(column): value for column, value in row.items()} for row in known.to_dict("records")]
