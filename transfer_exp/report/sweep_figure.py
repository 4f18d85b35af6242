"""Figure of a sweep: for every dataset a heat map of weighted tau over metrics and perturbations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from transfer_exp.io.atomic import write_atomically
from transfer_exp.report.palette import figure_colour
from transfer_exp.report.scatter import figure_label, literal_text
from transfer_exp.report.sweep_cells import mean_over_seeds, none_first, row_fields

_COLOURS = LinearSegmentedColormap.from_list("tau", [figure_colour(name) for name in ("bad", "paper", "accent")])
_DARK_FROM = 0.75
"""Share of the limit where a colour is too dark for dark text."""


@literal_text()
def sweep_figure(frame: pd.DataFrame, path: Path) -> Path:
    """Draw all cells of a sweep to a PNG file and return its path.

    The frame holds the cells from `collect`. There is one panel per dataset (and other varying fields), with metrics as
    rows and perturbations as columns. Each field shows weighted tau, averaged over seeds. It is hatched where tau lies
    inside the null band (the range for random scores), and grey where the job failed. The colours cover the range of
    the data.
    """
    means = mean_over_seeds(frame)
    panel_fields = [name for name in row_fields(frame) if name != "perturbation"]
    panels = list(means.groupby(panel_fields))
    metrics, perturbations = sorted(set(frame["metric"])), none_first(frame["perturbation"])
    limit = means["weighted_tau"].abs().max()  # NaN without any tau
    width, height = max(1.8, 0.85 * len(perturbations)), 0.45 + 0.34 * len(metrics)
    columns = min(len(panels), math.ceil(math.sqrt(1.3 * len(panels) * height / width)))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(2 + columns * width, 1.3 + rows * height), dpi=150, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, (name, group) in zip(grid, panels, strict=False):
        image = _draw_panel(axes, group, metrics, perturbations, max(limit, 0.01) if limit > 0 else 1.0)
        dataset, *further = name
        labels = [str(dataset), *(f"{field}={value}" for field, value in zip(panel_fields[1:], further, strict=True))]
        axes.set_title(" / ".join(map(figure_label, labels)), fontsize=9)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[max(0, len(panels) - columns) : len(panels)]:  # panels without another one below them
        axes.tick_params(labelbottom=True)
        for label in axes.get_xticklabels():
            label.set(rotation=35, ha="right", rotation_mode="anchor")
    scale = add_colour_scale(figure, image, list(grid), means["weighted_tau"].to_numpy(np.float64))
    scale.set_ylabel("tau_w", fontsize=9)
    scale.tick_params(labelsize=8)
    figure.supxlabel(
        "hatched: inside the null band of one run   = tied", fontsize=7, color=figure_colour("soft"), x=0.02, ha="left"
    )
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))
    return path


def _draw_panel(
    axes: Axes, group: pd.DataFrame, metrics: list[str], perturbations: list[str], limit: float
) -> AxesImage:
    """Draw the heat map of one dataset, with colours from -limit to limit."""
    shape = (len(metrics), len(perturbations))
    taus, in_null_band, texts = np.full(shape, np.nan), np.zeros(shape, bool), np.full(shape, "", object)
    for _, row in group.iterrows():
        field = metrics.index(row["metric"]), perturbations.index(row["perturbation"])
        taus[field] = tau = row["weighted_tau"]
        if math.isnan(tau):
            texts[field] = "failed" if row["failed"] else "no tau"
        else:
            texts[field] = f"{tau:.2f}{'=' if row['tied'] else ''}"
            in_null_band[field] = not row["outside"]
    image = draw_heat_map(axes, taus, in_null_band, texts, limit)
    axes.set_xticks(range(len(perturbations)), [_wrap(name) for name in perturbations])
    axes.set_yticks(range(len(metrics)), [_wrap(name) for name in metrics])
    axes.tick_params(labelsize=8, length=0)
    axes.spines[:].set_visible(False)
    return image


def _wrap(label: str) -> str:
    """Break a label with hyperparameters after its commas."""
    return fill(figure_label(label).replace(",", ", "), 24)


def draw_heat_map(
    axes: Axes,
    taus: Float[np.ndarray, "rows columns"],
    in_null_band: Bool[np.ndarray, "rows columns"],
    texts: Shaped[np.ndarray, "rows columns"],
    limit: float,
    fontsize: float = 8.0,
) -> AxesImage:
    """Draw a heat map of tau_w and return its image.

    Args:
        axes: Axes to draw on.
        taus: Values in [-limit, limit]; NaN for a grey field.
        in_null_band: Whether a value lies inside the null band, the range for random scores; its field is hatched.
        texts: Text on each field.
        limit: Value of the strongest colour, above 0. Figures with several heat maps share it.
        fontsize: Size of the texts, in points.
    """
    axes.set_facecolor(figure_colour("line"))
    image = axes.imshow(np.ma.masked_invalid(taus), cmap=_COLOURS, vmin=-limit, vmax=limit, aspect="auto")
    for (i, j), tau in np.ndenumerate(taus):
        if in_null_band[i, j]:
            field = Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, lw=0, hatch="///", ec=figure_colour("line"))
            axes.add_patch(field)
        is_dark = abs(tau) >= _DARK_FROM * limit and not in_null_band[i, j]
        colour = "white" if is_dark else figure_colour("ink")
        axes.text(j, i, str(texts[i, j]), ha="center", va="center", fontsize=fontsize, color=colour)
    return image


def add_colour_scale(
    figure: Figure, image: AxesImage, axes: Sequence[Axes], taus: Float[np.ndarray, " values"]
) -> Axes:
    """Add a colour scale from the smallest to the largest tau_w, with 0 inside, and return its axes.

    Args:
        figure: Figure of the heat maps.
        image: Image from `draw_heat_map`.
        axes: Axes that share the scale.
        taus: All values of the heat maps; NaN is ignored. Without two different values the scale has the range of
            the colours.
    """
    scale = figure.colorbar(image, ax=list(axes), pad=0.01, aspect=30).ax
    values = taus[~np.isnan(taus)]
    if len(values) and values.min() < values.max():
        scale.set_ylim(min(0.0, values.min()), max(0.0, values.max()))
    return scale
