"""Figure of one cell: scores against accuracies, or only the scores of a run without ground truth."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from transfer_exp.errors import escape_controls
from transfer_exp.io.atomic import write_atomically
from transfer_exp.io.measures import is_error, larger_is_better, measure_heading
from transfer_exp.report.palette import figure_colour
from transfer_exp.report.ranking_table import cell_title, headline, notable_models
from transfer_exp.results.cell import CellResult, ModelResult

_DOT_RADIUS = 5.0
"""Half the side, in pixels, of the square around each point that labels avoid."""
_LINE_DISTANCE = 22.0
"""Pixels; a label farther from its point is joined to it by a thin line."""
_LONGEST_LABEL = 48
_LABEL_SIZE = 8.0  # points


@contextmanager
def literal_text() -> Iterator[None]:
    """Let matplotlib draw names as they are: no formulas, and no warning about a letter that its font lacks."""
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        yield


def figure_label(name: str) -> str:
    """Return a name as a label of a figure, at most 48 characters long."""
    label = escape_controls(name)
    return label if len(label) <= _LONGEST_LABEL else f"{label[:30]}...{label[-15:]}"


@literal_text()
def scatter(result: CellResult, path: Path) -> Path:
    """Draw one cell (a pool scored by one metric on one dataset) to a PNG file and return its path.

    Every model with score and accuracy is a point; `notable_models` have labels, and the title has tau_w and its null
    band. With fewer than two such models, the figure is a dot plot of the scores.
    """
    scored = [line.result for line in result.ranking() if line.result.score is not None]
    compared = [m for m in scored if m.accuracy is not None]
    drawn = compared if len(compared) >= 2 else scored
    height = 4.8 if len(compared) >= 2 else 1.6 + 0.24 * max(len(scored), 4)
    figure = Figure(figsize=(7.2, height), dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    title = cell_title({field: figure_label(label) for field, label in result.cell.items()})
    axes.set_title("\n".join(filter(None, [title, headline(result)])), fontsize=10, loc="left")
    if len(compared) >= 2:
        _draw_points(figure, axes, compared, result)
    else:
        _draw_scores(axes, scored)
    missing = [figure_label(m.model) for m in result.models if m not in drawn]
    note = shorten(f"not shown: {', '.join(missing)}", 78, placeholder=" ...") if missing else ""  # left of the legend
    figure.supxlabel(note, fontsize=7, color=figure_colour("soft"), x=0.02, ha="left")
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))
    return path


def _draw_points(figure: Figure, axes: Axes, models: list[ModelResult], result: CellResult) -> None:
    """Draw score against accuracy of the models with both, with labels of the notable ones."""
    notable, heading = notable_models(result), measure_heading(result.measure)
    points = np.array([(m.score, m.accuracy) for m in models], dtype=np.float64)
    axes.scatter(points[:, 0], points[:, 1], s=28, color=figure_colour("accent"), zorder=3)
    quality = larger_is_better(points[:, 1], result.measure)
    chosen, best = points[:, 0] == points[:, 0].max(), quality == quality.max()
    rings = [(best, figure_colour("good"), 170, f"best {heading}")]
    if not chosen.all():
        rings.append((chosen, figure_colour("bad"), 90, "highest score"))
    for mask, colour, size, name in rings:
        x, y = points[mask].T
        axes.scatter(x, y, s=size, facecolors="none", edgecolors=colour, lw=1.6, label=name, zorder=2)
    ylabel = f"{heading} (smaller is better)" if is_error(result.measure) else "ground-truth accuracy"
    axes.set(xlabel="score (larger is better)", ylabel=ylabel)
    axes.margins(x=0.16, y=0.12)  # room for labels
    axes.grid(color=figure_colour("line"), zorder=0)
    figure.legend(loc="outside lower right", ncols=2, fontsize=8, frameon=False)
    figure.draw_without_rendering()  # computes the layout, which determines the pixels of the labels
    place_labels(figure, axes, points, [figure_label(m.model) if m.model in notable else "" for m in models])


def _draw_scores(axes: Axes, models: list[ModelResult]) -> None:
    """Draw only the scores, highest on top."""
    scores = [float(m.score) for m in models if m.score is not None]
    heights = np.arange(len(scores))[::-1]
    axes.scatter(scores, heights, s=28, color=figure_colour("accent"), zorder=3)
    axes.set_yticks(heights, [figure_label(m.model) for m in models], fontsize=8)
    axes.set(xlabel="score (larger is better)", ylim=(-0.7, max(len(scores), 1) - 0.3))
    axes.grid(color=figure_colour("line"), zorder=0)
    if not models:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no model was scored", ha="center", transform=axes.transAxes)


def place_labels(figure: Figure, axes: Axes, points: Float[np.ndarray, "points xy"], names: Sequence[str]) -> None:
    """Label each named point at the one of 48 positions around it that overlaps points, labels and frame the least.

    Args:
        figure, axes: Agg figure with final limits and layout, because overlaps are measured in pixels.
        points: (P, 2), in data coordinates. Earlier points choose their positions first.
        names: P labels; empty for no label.
    """
    pixels = axes.transData.transform(points)
    occupied = np.concatenate([pixels - _DOT_RADIUS, pixels + _DOT_RADIUS], axis=1)
    frame = np.array([axes.bbox.extents])
    for point, pixel, name in zip(points, pixels, names, strict=True):
        if not name:
            continue
        width, height = _text_size(figure, name)
        boxes = pixel[[0, 1, 0, 1]] + _candidate_boxes(width, height)
        # The area outside the frame counts double: a cut label is worse than a covered one.
        costs = [_overlap(box, occupied) + 2 * (width * height - _overlap(box, frame)) for box in boxes]
        best = int(np.argmin(np.round(costs, 3)))  # free positions have the same cost, in spite of rounding errors
        box = boxes[best]
        occupied = np.concatenate([occupied, box[None]])
        distance = float(np.hypot(*(pixel - np.clip(pixel, box[:2], box[2:]))))
        line = {"arrowstyle": "-", "lw": 0.5, "color": figure_colour("control"), "shrinkA": 0, "shrinkB": 3}
        axes.annotate(
            name,
            (float(point[0]), float(point[1])),
            xytext=(box[:2] - pixel) * 72 / figure.dpi,
            textcoords="offset points",
            ha="left",
            va="bottom",
            fontsize=_LABEL_SIZE,
            arrowprops=line if distance > _LINE_DISTANCE else None,
            annotation_clip=False,
        )


def _text_size(figure: Figure, text: str) -> tuple[float, float]:
    """Return width and height of a label in pixels."""
    assert isinstance(figure.canvas, FigureCanvasAgg)
    artist = figure.text(0, 0, text, fontsize=_LABEL_SIZE)
    extent = artist.get_window_extent(figure.canvas.get_renderer())
    artist.remove()
    return extent.width, extent.height


def _candidate_boxes(width: float, height: float) -> Float[np.ndarray, "positions corners"]:
    """Return boxes (x0, y0, x1, y1) in pixels around the origin, nearest first: 12 directions at 4 distances."""
    boxes = []
    for distance in (11.0, 19.0, 30.0, 46.0):
        for angle in np.radians([0, 180, 90, 270, 30, 330, 150, 210, 60, 300, 120, 240]):
            x, y = distance * np.cos(angle), distance * np.sin(angle)
            left = x - width * (1 - np.round(np.cos(angle), 9)) / 2
            bottom = y - height * (1 - np.round(np.sin(angle), 9)) / 2
            boxes.append((left, bottom, left + width, bottom + height))
    return np.array(boxes)


def _overlap(box: np.ndarray, boxes: np.ndarray) -> float:
    """Return the summed area of a box's overlaps with other boxes, in square pixels."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    return float(np.maximum(sides, 0).prod(axis=1).sum())
