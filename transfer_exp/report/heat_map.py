"""Heat maps of tau_w: colours over the range of the data, hatched where a ranking may be due to chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Shaped
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from transfer_exp.report.palette import figure_colour

_COLOURS = LinearSegmentedColormap.from_list("tau", [figure_colour(name) for name in ("bad", "paper", "accent")])
_WHITE_TEXT = 0.75
"""Share of the range above which a colour is too dark for dark text."""


def draw_heat_map(
    axes: Axes,
    taus: Float[np.ndarray, "rows columns"],
    in_band: Bool[np.ndarray, "rows columns"],
    texts: Shaped[np.ndarray, "rows columns"],
    limit: float,
    fontsize: float = 8.0,
) -> AxesImage:
    """Draw a heat map of tau_w and return its image.

    Args:
        axes: Axes to draw on.
        taus: Values in [-limit, limit]; NaN for a grey field.
        in_band: Whether a value lies inside the null band, the range for random scores; its field is hatched.
        texts: Text on each field.
        limit: Value of the strongest colour, above 0. Figures with several heat maps share it.
        fontsize: Size of the texts, in points.
    """
    axes.set_facecolor(figure_colour("line"))
    image = axes.imshow(np.ma.masked_invalid(taus), cmap=_COLOURS, vmin=-limit, vmax=limit, aspect="auto")
    for (i, j), tau in np.ndenumerate(taus):
        if in_band[i, j]:
            field = Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, lw=0, hatch="///", ec=figure_colour("line"))
            axes.add_patch(field)
        is_dark = abs(tau) >= _WHITE_TEXT * limit and not in_band[i, j]
        colour = "white" if is_dark else figure_colour("ink")
        axes.text(j, i, str(texts[i, j]), ha="center", va="center", fontsize=fontsize, color=colour)
    return image


def add_colour_scale(figure: Figure, image: AxesImage, axes: Sequence[Axes], taus: Float[np.ndarray, " cells"]) -> Axes:
    """Add a colour scale that ends at the smallest and largest tau_w, and return its axes.

    Args:
        figure: Figure of the heat maps.
        image: Image from `draw_heat_map`.
        axes: Axes that share the scale.
        taus: All values; NaN is ignored, and without any value the scale has the range of the colours.
    """
    scale = figure.colorbar(image, ax=list(axes), pad=0.01, aspect=30).ax
    values = taus[~np.isnan(taus)]
    if len(values) and values.min() < values.max():
        scale.set_ylim(min(0.0, values.min()), max(0.0, values.max()))
    return scale
