"""The figure of one cell: score against accuracy, or the scores alone where there is no ground truth."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from transfer_exp.io.atomic import write_atomically
from transfer_exp.report.labels import place_labels
from transfer_exp.report.ranking_table import headline
from transfer_exp.results.cell import CellResult, ModelResult

# Okabe and Ito's colours, which stay apart for colour-blind readers.
_BLUE, _ORANGE, _GREEN = "#0072B2", "#D55E00", "#009E73"


def scatter(result: CellResult, path: Path) -> Path:
    """Draw one cell to a PNG file at ``path`` and return it.

    Every model with score and accuracy is a named point; the title gives tau_w and its null band. Fewer than two such
    models leave a dot plot of the scores.
    """
    scored = [line.result for line in result.ranking() if line.result.score is not None]
    compared = [m for m in scored if m.accuracy is not None]
    drawn = compared if len(compared) >= 2 else scored
    missing = [m.model for m in result.models if m not in drawn]
    height = 4.8 if len(compared) >= 2 else 1.6 + 0.24 * max(len(scored), 4)
    figure = Figure(figsize=(7.2, height), dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    title = " / ".join(result.cell[key] for key in ("dataset", "perturbation", "metric") if key in result.cell)
    axes.set_title("\n".join(filter(None, [title, headline(result)])), fontsize=10, loc="left")
    unnamed = _points(figure, axes, compared) if len(compared) >= 2 else _dots(axes, scored)
    notes = [f"{len(unnamed)} points unnamed for want of room"] if unnamed else []
    notes += [f"not shown: {', '.join(missing)}"] if missing else []
    note = shorten("; ".join(notes), 78, placeholder=" ...")  # leaves room for the legend
    figure.supxlabel(note, fontsize=7, color="0.4", x=0.02, ha="left")
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))
    return path


def _points(figure: Figure, axes: Axes, models: list[ModelResult]) -> list[str]:
    """Draw score against accuracy with names; return the names that found no place."""
    points = np.array([(m.score, m.accuracy) for m in models], dtype=np.float64)
    axes.scatter(points[:, 0], points[:, 1], s=28, color=_BLUE, zorder=3)
    chosen, best = points[:, 0] == points[:, 0].max(), points[:, 1] == points[:, 1].max()
    rings = [(best, _GREEN, 170, "best accuracy")]
    if not chosen.all():
        rings.append((chosen, _ORANGE, 90, "chosen by the score"))
    for mask, colour, size, name in rings:
        x, y = points[mask].T
        axes.scatter(x, y, s=size, facecolors="none", edgecolors=colour, lw=1.6, label=name, zorder=2)
    axes.set(xlabel="score (larger is better)", ylabel="ground-truth accuracy")
    axes.margins(0.1)
    axes.grid(color="0.92", zorder=0)
    figure.legend(loc="outside lower right", ncols=2, fontsize=8, frameon=False)
    figure.draw_without_rendering()  # settles the layout, which the places of the names depend on
    return place_labels(figure, axes, points, [m.model for m in models])


def _dots(axes: Axes, models: list[ModelResult]) -> list[str]:
    """Draw the scores alone, best on top; every name finds a place."""
    scores = [float(m.score) for m in models if m.score is not None]
    heights = np.arange(len(scores))[::-1]
    axes.scatter(scores, heights, s=28, color=_BLUE, zorder=3)
    axes.set_yticks(heights, [m.model for m in models], fontsize=8)
    axes.set(xlabel="score (larger is better)", ylim=(-0.7, max(len(scores), 1) - 0.3))
    axes.grid(color="0.92", zorder=0)
    if not models:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no model was scored", ha="center", transform=axes.transAxes)
    return []
