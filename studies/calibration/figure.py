"""The figure of the page, with a digest of what it was drawn from inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies.calibration.error_tables import BEST, HEADLINE, named
from studies.calibration.held_out import LEVEL, held_out
from studies.calibration.regret_tables import both
from studies.calibration.rows import Rows
from studies.real_pool.tables import regime_label
from transfer_exp.io.atomic import write_atomically


def expected_against_reached(rows: Rows, path: Path, source: str) -> None:
    """Draw, a column per regime, accuracies against what was expected of them, and regrets likewise."""
    figure = Figure(figsize=(4 * len(rows.accuracies), 8), layout="constrained")
    axes = figure.subplots(2, len(rows.accuracies), squeeze=False)
    for (above, below), regime in zip(axes.T, rows.accuracies, strict=True):
        _accuracies(above, rows, regime)
        _regrets(below, rows, regime)
        above.set_title(regime_label(regime), fontsize=11)
    axes[0][0].set_ylabel(f"accuracy reached, {LEVEL:.0%} interval")
    axes[1][0].set_ylabel("realised regret of the best score")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=9)
    # The version of the library is no part of the figure.
    metadata = {"Source": source, "Software": ""}
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=120, metadata=metadata))


def _accuracies(axes: Axes, rows: Rows, regime: str) -> None:
    """Draw a point per model and target, and the interval that was expected to hold it."""
    axes.axline((0.5, 0.5), slope=1, color="0.6", linewidth=0.8)
    for place, one in enumerate(held_out(rows, regime, HEADLINE, BEST)):
        expected, colour = one.expected, f"C{place}"
        axes.vlines(expected.accuracies, expected.low, expected.high, color=colour, alpha=0.2, linewidth=2)
        axes.scatter(expected.accuracies, one.accuracies, s=14, color=colour, label=one.target, linewidths=0, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_xlabel(f"expected accuracy, {named(HEADLINE)}\nwith {BEST}", fontsize=9)


def _regrets(axes: Axes, rows: Rows, regime: str) -> None:
    """Draw a point per metric and target."""
    pairs = np.array([both(held_out(rows, regime, cell, BEST), 1) for cell in rows.cells()])
    for place in range(len(rows.averaged)):
        axes.scatter(pairs[:, 0, place], pairs[:, 1, place], s=12, color=f"C{place}", alpha=0.7, linewidths=0)
    limit = float(pairs.max()) * 1.05
    axes.axline((0, 0), slope=1, color="0.6", linewidth=0.8)
    axes.set(xlim=(-0.01, limit), ylim=(-0.01, limit), aspect="equal")
    axes.set_xlabel(f"expected regret, {len(pairs)} scores with {BEST}", fontsize=9)
