"""Figures of docs/results/real_pool.md.

Each file holds a digest of the rows that it was drawn from, so that a test can tell whether it is up to date.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies.real_pool.comparisons import random_ranking_band
from studies.real_pool.data import Cell, Study
from studies.real_pool.tables import perturbation_label, tau_text
from transfer_exp.evaluation.sub_pools import TAU_TOLERANCE
from transfer_exp.io.atomic import write_atomically
from transfer_exp.report.palette import figure_colour
from transfer_exp.report.sweep_figure import add_colour_scale, draw_heat_map

_TAU_LIMITS = (-0.6, 1.0)
_TAU_TICKS = (-0.5, 0.0, 0.5, 1.0)


def heat_map(study: Study, path: Path, rows_digest: str) -> None:
    """Draw the mean tau_w of every metric that reads features, after each perturbation, one panel per regime.

    A field is hatched if random rankings reach its tau_w.
    """
    metrics, perturbations = study.distinct, study.perturbations
    figure = Figure(figsize=(4.4 * len(study.accuracies) + 1, 0.3 * len(metrics) + 1.8), layout="constrained")
    axes = figure.subplots(1, len(study.accuracies), sharey=True, squeeze=False)[0]
    taus = np.array([[[_mean_tau(study, m, p, r) for p in perturbations] for m in metrics] for r in study.accuracies])
    texts = np.vectorize(tau_text, otypes=[object])(taus)
    for axis, regime, values, labels in zip(axes, study.accuracies, taus, texts, strict=True):
        low, high = random_ranking_band(study, regime)
        in_band = (low <= values) & (values <= high)
        image = draw_heat_map(axis, values, in_band, labels, float(np.abs(taus).max()), fontsize=7.0)
        axis.set_xticks(
            range(len(perturbations)),
            map(perturbation_label, perturbations),
            rotation=60,
            ha="right",
            rotation_mode="anchor",
            fontsize=8,
        )
        axis.set_yticks(range(len(metrics)), metrics, fontsize=8)
        axis.set_title(regime.replace("_", " "), fontsize=10)
    scale = add_colour_scale(figure, image, list(axes), taus.ravel())
    scale.set_ylabel(f"tau_w, mean over {len(study.averaged)} targets; hatched: inside the range of random rankings")
    _save(figure, path, rows_digest)


def _mean_tau(study: Study, metric: str, perturbation: str, regime: str) -> float:
    return study.taus(Cell(metric, perturbation), regime, study.averaged)[0]


def before_after(study: Study, path: Path, rows_digest: str) -> None:
    """Draw tau_w with each perturbation against its reference (``none`` or ``pca``), for the first regime.

    A point is a metric on a target.
    """
    references = ("none", "pca")
    compared = {r: [p for p in study.perturbations if p not in ("none", r)] for r in references}
    columns = max(map(len, compared.values()))
    figure = Figure(figsize=(2.4 * columns, 6.2), layout="constrained")
    axes = figure.subplots(len(references), columns, sharex=True, sharey=True)
    for axis in axes.flat:
        axis.set_visible(False)
    regime = next(iter(study.accuracies))
    for row, reference in zip(axes, references, strict=True):
        for axis, perturbation in zip(row, compared[reference], strict=False):
            axis.set_visible(True)
            _scatter(axis, study, regime, perturbation, reference)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=9, markerscale=1.5)
    figure.supxlabel("tau_w without the perturbation: on raw features (upper row), after PCA (lower row)", fontsize=10)
    figure.supylabel("tau_w with the perturbation", fontsize=10)
    _save(figure, path, rows_digest)


def _scatter(axis: Axes, study: Study, regime: str, perturbation: str, reference: str) -> None:
    """Draw one point per metric and target: tau_w with the reference (x) and with the perturbation (y)."""
    axis.axline((0, 0), slope=1, color=figure_colour("control"), linewidth=0.8)
    wins, losses = 0, 0
    for i, target in enumerate(study.averaged):
        x, y = (
            np.array([study.tau(Cell(m, p), regime, target) for m in study.distinct]) for p in (reference, perturbation)
        )
        wins += int((y > x + TAU_TOLERANCE).sum())
        losses += int((y < x - TAU_TOLERANCE).sum())
        axis.scatter(x, y, s=14, alpha=0.75, color=figure_colour(f"class{i}"), label=target, linewidths=0)
    axis.set_title(f"{perturbation}\n{wins} higher, {losses} lower", fontsize=9)
    axis.set(xlim=_TAU_LIMITS, ylim=_TAU_LIMITS, xticks=_TAU_TICKS, yticks=_TAU_TICKS, aspect="equal")
    axis.tick_params(labelsize=8, labelbottom=True)


def _save(figure: Figure, path: Path, rows_digest: str) -> None:
    metadata = {"Source": rows_digest, "Software": ""}  # no library version: an update must not change the file
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=130, metadata=metadata))
