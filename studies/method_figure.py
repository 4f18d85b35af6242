"""The figure and the table of the page on the method: ``python -m studies.method_figure docs/method.md``.

Both are computed anew from what ships, the built-in networks on the digits. The table fills the block that begins with
``<!-- table: moves -->`` and ends with ``<!-- end -->``; the figure is written beside the page.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import pdist

from studies.document_tables import with_tables
from transfer_exp.cli.console import Parser
from transfer_exp.io.atomic import write_atomically, write_text
from transfer_exp.perturbation.pca import pca
from transfer_exp.perturbation.released import Released, gate_opens
from transfer_exp.perturbation.spread import spread
from transfer_exp.perturbation.spread_attract import SpreadAttract
from transfer_exp.report.markdown import markdown
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.statistics.feature_set import FeatureSet
from transfer_exp.store import Store

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DRAWN = "mambaout_textures"
"""The network of the figure: small enough features for a force of 1 to be seen, and classes apart enough to attract."""
_LONGER = 20
"""Arrows are so many times as long as what they stand for, which would be smaller than the dots."""
_AS_THEY_ARE, _SPREAD, _TOGETHER, _RELEASED = "after PCA", "spread", "spread, then attract", "released code"
_BEFORE_ATTRACT = {_TOGETHER: _SPREAD, _RELEASED: _AS_THEY_ARE}


def shipped_features(names: Sequence[str] | None = None) -> dict[str, FeatureSet]:
    """Return the features of the built-in networks (or the named ones) on the scoring set of the digits, by name."""
    # With torch, which takes seconds to load.
    from transfer_exp.dataset.digits import digits
    from transfer_exp.features.extraction import Extractor
    from transfer_exp.model_pool.builtin import builtin

    images = digits().scoring_set
    extract = Extractor(Store("memory://method"), "cpu", 64, 0, lambda name, total: lambda: None)
    return {each.name: extract(each.name, each.load(), images)[0] for each in builtin(names).candidates}


def moved(
    features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]
) -> dict[str, Float[np.ndarray, "samples new_dim"]]:
    """Return the features after PCA to 64 dimensions and after each step, (N, D'), by the step's name.

    The steps are `spread`, `SpreadAttract` and `Released`, with their defaults.

    Raises
    ------
    InputError
        As `check_features`.
    """
    rng = np.random.default_rng(0)
    reduced = pca(features)
    return {
        _AS_THEY_ARE: reduced,
        _SPREAD: spread(reduced, labels),
        _TOGETHER: SpreadAttract()(features, labels, rng),
        _RELEASED: Released()(features, labels, rng),
    }


def moves_table(found: Mapping[str, FeatureSet]) -> str:
    """Return Markdown: of every network mean class radius and mean distance of class means, before and after."""
    rows = []
    for name, known in found.items():
        steps = moved(known.features.astype(np.float64), known.labels)
        classes = {step: class_statistics(values, known.labels) for step, values in steps.items()}
        radii = (classes[step].radii.mean() for step in (_AS_THEY_ARE, _SPREAD))
        distances = (pdist(each.means).mean() for each in classes.values())
        gate = "open" if gate_opens(known.features.astype(np.float64)) else "shut"
        rows.append([f"`{name}`", *(f"{value:.2f}" for value in (*radii, *distances)), gate])
    heads = ["network", f"radius {_AS_THEY_ARE}", _SPREAD, f"distance {_AS_THEY_ARE}", _SPREAD, _TOGETHER, _RELEASED]
    return markdown([*heads, "gate"], rows)


def draw(known: FeatureSet, path: Path) -> None:
    """Draw every step on the same two axes, the first principal components; a colour is a class."""
    from matplotlib.figure import Figure

    steps = moved(known.features.astype(np.float64), known.labels)
    means = {step: class_statistics(values, known.labels).means for step, values in steps.items()}
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True).flat
    for axes, (step, values) in zip(panels, steps.items(), strict=True):
        _panel(axes, values, means[step], known.labels)
        axes.set_title(step, fontsize=11)
        if step in _BEFORE_ATTRACT:
            x, y = means[step][:, :2].T
            right, up = _LONGER * (means[step] - means[_BEFORE_ATTRACT[step]])[:, :2].T
            axes.quiver(x, y, right, up, angles="xy", scale_units="xy", scale=1, width=0.006, zorder=4)
    write_atomically(
        path, lambda temporary: figure.savefig(temporary, format="png", dpi=120, metadata={"Software": ""})
    )


def _panel(
    axes: Axes,
    values: Float[np.ndarray, "samples dim"],
    means: Float[np.ndarray, "classes dim"],
    labels: Int[np.ndarray, " samples"],
) -> None:
    """Draw samples as small dots and class means as large ones."""
    colours = [f"C{label}" for label in labels]
    axes.scatter(values[:, 0], values[:, 1], c=colours, s=9, alpha=0.45, linewidths=0)
    classes = [f"C{label}" for label in np.unique(labels)]
    axes.scatter(means[:, 0], means[:, 1], c=classes, s=70, edgecolors="black", zorder=3)
    axes.set(xticks=[], yticks=[], aspect="equal")


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild the page's table and its figure, and return the exit code.

    Parameters
    ----------

    Arguments
        The command line without the program's name; by default that of the process.

    Returns
    -------
    int
        0, or 1 after one line on stderr when the page cannot be used or written.
    """
    parser = Parser(prog="python -m studies.method_figure", description=__doc__)
    parser.add_argument("page", type=Path, metavar="PAGE.md")
    return parser.run(_rebuild, arguments)


def _rebuild(asked: Namespace) -> None:
    # Only once the page has been read: it takes seconds.
    found = cache(shipped_features)
    write_text(asked.page, with_tables(asked.page, {"moves": lambda: moves_table(found())}))
    draw(found()[DRAWN], asked.page.with_suffix(".png"))


if __name__ == "__main__":
    sys.exit(main())
