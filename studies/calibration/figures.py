"""Figure of the page on expected accuracies; its metadata hold the digest of its data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies.calibration.data import PoolData
from studies.calibration.predictions import LEVEL, predict_held_out
from studies.calibration.tables import BEST_ANCHOR, HEADLINE, cell_label, regret_pairs
from studies.real_pool.tables import regime_label
from transfer_exp.io.atomic import write_atomically
from transfer_exp.report.palette import figure_colour


def expected_and_reached(data: PoolData, path: Path, source: str) -> None:
    """Draw reached against expected accuracies, and realised against expected regrets, with one column per regime."""
    figure = Figure(figsize=(4 * len(data.accuracies), 8), layout="constrained")
    axes = figure.subplots(2, len(data.accuracies), squeeze=False)
    for (top, bottom), regime in zip(axes.T, data.accuracies, strict=True):
        _draw_accuracies(top, data, regime)
        _draw_regrets(bottom, data, regime)
        top.set_title(regime_label(regime), fontsize=11)
    axes[0][0].set_ylabel(f"accuracy reached, {LEVEL:.0%} interval")
    axes[1][0].set_ylabel("realised regret of the best score")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=9)
    # Without the version of matplotlib, so that the file does not change with it.
    metadata = {"Source": source, "Software": ""}
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=120, metadata=metadata))


def _draw_accuracies(axes: Axes, data: PoolData, regime: str) -> None:
    """Draw a point per model and target, with the interval of its expected accuracy."""
    axes.axline((0.5, 0.5), slope=1, color=figure_colour("control"), linewidth=0.8)
    for i, prediction in enumerate(predict_held_out(data, regime, HEADLINE, BEST_ANCHOR)):
        expected, reached, colour = prediction.expected, prediction.accuracies, figure_colour(f"class{i}")
        axes.vlines(expected.accuracies, expected.low, expected.high, color=colour, alpha=0.2, linewidth=2)
        axes.scatter(expected.accuracies, reached, s=14, color=colour, label=prediction.target, linewidths=0, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_xlabel(f"expected accuracy, {cell_label(HEADLINE)}\nwith {BEST_ANCHOR}", fontsize=9)


def _draw_regrets(axes: Axes, data: PoolData, regime: str) -> None:
    """Draw a point per metric and target."""
    pairs = np.array([regret_pairs(predict_held_out(data, regime, cell, BEST_ANCHOR), 1) for cell in data.cells()])
    for i in range(len(data.averaged)):
        axes.scatter(pairs[:, 0, i], pairs[:, 1, i], s=12, color=figure_colour(f"class{i}"), alpha=0.7, linewidths=0)
    limit = float(pairs.max()) * 1.05
    axes.axline((0, 0), slope=1, color=figure_colour("control"), linewidth=0.8)
    axes.set(xlim=(-0.01, limit), ylim=(-0.01, limit), aspect="equal")
    axes.set_xlabel(f"expected regret, {len(pairs)} scores with {BEST_ANCHOR}", fontsize=9)
