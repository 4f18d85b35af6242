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
    BASELINES,
    RANDOM,
    STATIC,
    STATIC_FAMILY,
    Standings,
    published_baselines,
    variant_name,
)
from transfer_exp.leaderboard.table import NAME, pool_title, regimes_text, verdict
from transfer_exp.report.html.page import render_page
from transfer_exp.version import __version__

_DIGITS = 4


def write_page(standings: Sequence[Standings], command: str, folder: Path) -> Path:
    """Write ``leaderboard.html``, and return its path.

    Args:
        standings: `Standings` for each pool, regime and number of images, one pool after the other. The first of a pool
            is over all regimes with all images.
        command: Command line that repeats the run.
        folder: Folder of the page.
    """
    path = folder / f"{NAME}.html"
    write_text(path, render_page(page_data(standings, command), scripts=("leaderboard.js",)))
    return path


def page_data(standings: Sequence[Standings], command: str) -> dict[str, Any]:
    """Return what the page shows: the pools with their views, and the static ranking on published accuracies."""
    pools = [list(views) for _, views in groupby(standings, key=lambda view: view.rows.name)]
    return {
        "title": "Leaderboard of transferability metrics",
        "command": command,
        "version": __version__,
        "cost": f"features ({SAMPLES}, {DIM}) of {CLASSES} classes",
        "baselines": [RANDOM, *BASELINES, STATIC, STATIC_FAMILY],
        "pools": [_pool_data(views) for views in pools],
        "published": _records(published_baselines()),
    }


def _pool_data(views: Sequence[Standings]) -> dict[str, Any]:
    main = views[0]
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
                "regime": view.regime,
                "size": ALL_IMAGES if view.size == rows.sizes[-1] else view.size,
                "null": list(view.null_band),
                "verdict": verdict(view),
                "rows": _records(view.table.reset_index()),
            }
            for view in views
        ],
    }


def _target_taus(view: Standings) -> dict[str, list[list[float | int | None] | None]]:
    """Return by variant an entry per target: tau, number of models, ends of its 95 % interval; None without a tau."""
    intervals = target_intervals(view.rows, view.size)
    taus: dict[str, list[list[float | int | None] | None]] = {}
    for perturbation, metric in view.values.index:
        values, count = view.values.loc[(perturbation, metric)], int(view.models.loc[(perturbation, metric)])
        entries: list[list[float | int | None] | None] = []
        for target, tau in zip(view.targets, values.to_numpy(dtype=np.float64), strict=True):
            low, high = intervals.get((perturbation, metric, target)) or (None, None)
            entries.append(None if np.isnan(tau) else [round(float(tau), _DIGITS), count, low, high])
        taus[variant_name((perturbation, metric))] = entries
    for name, by_target in view.computed.items():
        taus[name] = [[round(float(tau), _DIGITS), len(view.rows.models), None, None] for tau in by_target]
    return taus


def target_intervals(rows: PoolRows, size: str) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Return the 95 % interval over models of the mean tau over regimes, by perturbation, metric and target.

    It is tau plus and minus 1.96 standard errors of the jackknife, which leaves out one model at a time, cut at -1 and
    1. There is none if a score is missing, or no regime has the accuracies of all models.
    """
    scores = rows.scores[rows.scores.index.get_level_values("images_per_class") == size]
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
