"""Page of the leaderboard: one HTML file with the tables of all pools, by target, regime, images and cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transfer_exp.evaluation.correlation import weighted_tau_many
from transfer_exp.io.atomic import write_text
from transfer_exp.leaderboard.costs import CLASSES, DIM, SAMPLES
from transfer_exp.leaderboard.rows import ALL_IMAGES, PoolRows
from transfer_exp.leaderboard.standings import (
    RANDOM,
    STATIC,
    STATIC_FAMILY,
    TARGET_FREE_METRICS,
    Standings,
    published_static_taus,
    variant_name,
)
from transfer_exp.leaderboard.table import NAME, pool_title, regimes_text, verdict
from transfer_exp.report.html.page import render_page
from transfer_exp.version import __version__

_DIGITS = 6


def write_page(every_standings: Sequence[Standings], command: str, folder: Path) -> Path:
    """Write ``leaderboard.html``, and return its path.

    Args:
        every_standings: `all_standings` of every pool, one pool after the other.
        command: Command line that repeats the run.
        folder: Folder of the page.
    """
    path = folder / f"{NAME}.html"
    write_text(path, render_page(page_data(every_standings, command), scripts=("leaderboard.js",)))
    return path


def page_data(every_standings: Sequence[Standings], command: str) -> dict[str, Any]:
    """Return what the page shows: the pools with their standings, and the static ranking on published accuracies."""
    pools = [list(of_pool) for _, of_pool in groupby(every_standings, key=lambda standings: standings.rows.name)]
    return {
        "title": "Leaderboard of transferability metrics",
        "command": command,
        "version": __version__,
        "cost": f"features ({SAMPLES}, {DIM}) of {CLASSES} classes",
        "baselines": [RANDOM, *TARGET_FREE_METRICS, STATIC, STATIC_FAMILY],
        "pools": [_pool_data(of_pool) for of_pool in pools],
        "published": _records(published_static_taus()),
    }


def _pool_data(of_pool: Sequence[Standings]) -> dict[str, Any]:
    main = of_pool[0]
    rows = main.rows
    bands = main.target_null_bands
    families = {rows.families[target] for target in main.targets}
    of_families = f" of {len(families)} families" if len(families) < len(main.targets) else ""
    return {
        "name": rows.name,
        "title": pool_title(main),
        "detail": f"{len(rows.models)} models, {len(main.targets)} targets{of_families}; {regimes_text(main)}",
        "source": f"rows of transfer-exp {__version__}",
        "regimes": list(rows.accuracies),
        "targets": [
            {"name": target, "family": rows.families[target], "low": round(low, _DIGITS), "high": round(high, _DIGITS)}
            for target, (low, high) in bands.items()
        ],
        "taus": _target_taus(main),
        "views": [
            {
                "regime": standings.regime,
                "size": ALL_IMAGES
                if standings.images_per_class == rows.images_per_class[-1]
                else standings.images_per_class,
                "null": list(standings.null_band),
                "verdict": verdict(standings),
                "rows": _records(standings.table.reset_index()),
            }
            for standings in of_pool
        ],
    }


def _target_taus(standings: Standings) -> dict[str, list[list[float | int | None] | None]]:
    """Return by variant an entry per target: tau, number of models, ends of its 95 % interval; None without a tau."""
    intervals = target_intervals(standings.rows, standings.images_per_class)
    taus: dict[str, list[list[float | int | None] | None]] = {}
    for perturbation, metric in standings.values.index:
        values, count = (
            standings.values.loc[(perturbation, metric)],
            int(standings.n_models.loc[(perturbation, metric)]),
        )
        entries: list[list[float | int | None] | None] = []
        for target, tau in zip(standings.targets, values.to_numpy(dtype=np.float64), strict=True):
            low, high = intervals.get((perturbation, metric, target)) or (None, None)
            entries.append(None if np.isnan(tau) else [round(float(tau), _DIGITS), count, low, high])
        taus[variant_name((perturbation, metric))] = entries
    for name, by_target in standings.computed_baselines.items():
        taus[name] = [[round(float(tau), _DIGITS), len(standings.rows.models), None, None] for tau in by_target]
    return taus


def target_intervals(rows: PoolRows, images_per_class: str) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Return the 95 % interval over models of the mean tau over regimes, by perturbation, metric and target.

    It is tau plus and minus 1.96 standard errors of the jackknife, which leaves out one model at a time, cut at -1 and
    1. There is none if a score is missing, or no regime has the accuracies of all models.
    """
    scores = rows.scores[rows.scores.index.get_level_values("images_per_class") == images_per_class]
    scores = scores[np.isfinite(scores.to_numpy()).all(axis=1)]
    targets = scores.index.get_level_values("dataset")
    n_models = len(rows.models)
    # Row i of the total is without model i, the last row with all models.
    total, count = np.zeros((n_models + 1, len(scores))), np.zeros(len(scores))
    for table in rows.accuracies.values():
        accuracies = table.reindex(index=targets, columns=list(rows.models)).to_numpy(dtype=np.float64)
        complete = np.flatnonzero(np.isfinite(accuracies).all(axis=1))
        values = scores.to_numpy(dtype=np.float64)[complete]
        count[complete] += 1
        total[n_models, complete] += weighted_tau_many(values, accuracies[complete])
        for model in range(n_models):
            is_kept = np.arange(n_models) != model
            total[model, complete] += weighted_tau_many(values[:, is_kept], accuracies[complete][:, is_kept])
    with np.errstate(invalid="ignore"):
        taus = total / count
    errors = np.sqrt((n_models - 1) * taus[:-1].var(axis=0))
    low, high = (np.clip(taus[-1] + 1.96 * side * errors, -1, 1).round(_DIGITS) for side in (-1, 1))
    names = [scores.index.get_level_values(name) for name in ("perturbation", "metric", "dataset")]
    keys = zip(*names, strict=True)
    return {key: (float(a), float(b)) for key, a, b, n in zip(keys, low, high, count, strict=True) if n}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as plain values, with numbers of a few digits to keep the page small; None where missing."""
    return json.loads(table.to_json(orient="records", double_precision=_DIGITS))
