"""Names beside points, each where it hides the least."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_DOT = 5.0  # half the side, in pixels, of the square that a point keeps free
_FAR = 22.0  # pixels from which a thin line joins a name to its point
_CROWDED = 30  # from here on a name that would hide another is left out


def place_labels(
    figure: Figure, axes: Axes, points: Float[np.ndarray, "points xy"], names: Sequence[str], fontsize: float = 8.0
) -> list[str]:
    """Write each name beside its point, choosing among 48 places the one that covers least of points and other names.

    Parameters
    ----------
    figure
        Drawn by Agg, and
    axes
        in it, with limits and layout already final: places are compared in pixels.
    points
        (P, 2), in data coordinates; the first ones choose first.
    names
        P names.
    fontsize
        In points.

    Returns
    -------
    list of str
        Names left out because more than 30 points leave no free place for them.
    """
    pixels = axes.transData.transform(points)
    taken = np.concatenate([pixels - _DOT, pixels + _DOT], axis=1)
    left_out = []
    for point, pixel, name in zip(points, pixels, names, strict=True):
        boxes = pixel[[0, 1, 0, 1]] + _places(_size(figure, name, fontsize))
        costs = [_hidden(box, taken) + _outside(box, axes) for box in boxes]
        best = int(np.argmin(costs))
        if costs[best] > 0 and len(points) > _CROWDED:
            left_out.append(name)
            continue
        taken = np.concatenate([taken, boxes[[best]]])
        _write(figure, axes, point, pixel, boxes[best], name, fontsize)
    return left_out


def _write(
    figure: Figure, axes: Axes, point: np.ndarray, pixel: np.ndarray, box: np.ndarray, name: str, fontsize: float
) -> None:
    """Put ``name`` into ``box``, joined to its point by a thin line when that is not next to it."""
    gap = float(np.hypot(*(pixel - np.clip(pixel, box[:2], box[2:]))))
    axes.annotate(
        name,
        (float(point[0]), float(point[1])),
        xytext=(box[:2] - pixel) * 72 / figure.dpi,
        textcoords="offset points",
        ha="left",
        va="bottom",
        fontsize=fontsize,
        arrowprops={"arrowstyle": "-", "lw": 0.5, "color": "0.6", "shrinkA": 0, "shrinkB": 3} if gap > _FAR else None,
        annotation_clip=False,
    )


def _size(figure: Figure, name: str, fontsize: float) -> tuple[float, float]:
    """Return width and height of ``name`` in pixels."""
    assert isinstance(figure.canvas, FigureCanvasAgg)
    text = figure.text(0, 0, name, fontsize=fontsize)
    extent = text.get_window_extent(figure.canvas.get_renderer())
    text.remove()
    return extent.width, extent.height


def _places(size: tuple[float, float]) -> Float[np.ndarray, "places corners"]:
    """Return candidate boxes (x0, y0, x1, y1) around the origin, nearest first: 12 directions at 4 distances."""
    width, height = size
    boxes = []
    for distance in (11.0, 19.0, 30.0, 46.0):
        for angle in np.radians([0, 180, 90, 270, 30, 330, 150, 210, 60, 300, 120, 240]):
            x, y = distance * np.cos(angle), distance * np.sin(angle)
            left = x - width * (1 - np.round(np.cos(angle), 9)) / 2
            low = y - height * (1 - np.round(np.sin(angle), 9)) / 2
            boxes.append((left, low, left + width, low + height))
    return np.array(boxes)


def _hidden(box: np.ndarray, taken: np.ndarray) -> float:
    """Return the area of ``box`` that overlaps what is already there, in square pixels."""
    overlap = np.minimum(box[2:], taken[:, 2:]) - np.maximum(box[:2], taken[:, :2])
    return float(np.maximum(overlap, 0).prod(axis=1).sum())


def _outside(box: np.ndarray, axes: Axes) -> float:
    """Return the area of ``box`` beyond the frame, counted double: a cut name is worse than a covered one."""
    whole = float((box[2:] - box[:2]).prod())
    return 2 * (whole - _hidden(box, np.array([axes.bbox.extents])))
