"""Draw the figure and fill the table of the page on the method: ``python -m studies.method_figure docs/method.md``.

Both are computed from the built-in networks on the digits. The table fills the block that begins with
``<!-- table: class_distances -->`` and ends with ``<!-- end -->``; the figure is written next to the page.
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

from studies.document_tables import fill_tables
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

FIGURE_NETWORK = "mambaout_textures"
"""Network of the figure: its features are small enough to see a force of 1, its classes separate enough to attract."""
_ARROW_SCALE = 20
"""Factor that lengthens the arrows; without it they would be shorter than the dots."""
_PCA, _SPREAD, _SPREAD_ATTRACT, _RELEASED = "after PCA", "spread", "spread, then attract", "released code"
_BEFORE_ATTRACT = {_SPREAD_ATTRACT: _SPREAD, _RELEASED: _PCA}


def builtin_features(names: Sequence[str] | None = None) -> dict[str, FeatureSet]:
    """Return the features of built-in networks (by default of all) on the scoring set of the digits, by name."""
    # Imported late: these import torch, which takes seconds.
    from transfer_exp.dataset.digits import digits
    from transfer_exp.features.extraction import Extractor
    from transfer_exp.model_pool.builtin import builtin

    images = digits().scoring_set
    extract = Extractor(Store("memory://method"), "cpu", 64, 0, lambda name, total: lambda: None)
    return {network.name: extract(network.name, network.load(), images)[0] for network in builtin(names).candidates}


def perturbation_steps(
    features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]
) -> dict[str, Float[np.ndarray, "samples new_dim"]]:
    """Return the features after PCA to 64 dimensions and after each further step, (N, D'), by the step's name.

    The steps are `spread`, `SpreadAttract` and `Released`, with their defaults.

    Raises:
        InputError: When the features or labels are invalid.
    """
    rng = np.random.default_rng(0)
    reduced = pca(features)
    return {
        _PCA: reduced,
        _SPREAD: spread(reduced, labels),
        _SPREAD_ATTRACT: SpreadAttract()(features, labels, rng),
        _RELEASED: Released()(features, labels, rng),
    }


def class_distances(networks: Mapping[str, FeatureSet]) -> str:
    """Return Markdown: mean class radius and mean distance of class means for every network, before and after."""
    rows = []
    for name, network in networks.items():
        features = network.features.astype(np.float64)
        steps = perturbation_steps(features, network.labels)
        classes = {step: class_statistics(values, network.labels) for step, values in steps.items()}
        radii = (classes[step].radii.mean() for step in (_PCA, _SPREAD))
        distances = (pdist(statistics.means).mean() for statistics in classes.values())
        gate = "open" if gate_opens(features) else "shut"
        rows.append([f"`{name}`", *(f"{value:.2f}" for value in (*radii, *distances)), gate])
    heads = [f"radius, {step}" for step in (_PCA, _SPREAD)]
    heads += [f"distance, {step}" for step in (_PCA, _SPREAD, _SPREAD_ATTRACT, _RELEASED)]
    return markdown(["network", *heads, "gate"], rows)


def draw_figure(network: FeatureSet, path: Path) -> None:
    """Draw every step on the same two axes, the first principal components; a colour is a class."""
    from matplotlib.figure import Figure

    steps = perturbation_steps(network.features.astype(np.float64), network.labels)
    means = {step: class_statistics(values, network.labels).means for step, values in steps.items()}
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True).flat
    for axes, (step, values) in zip(panels, steps.items(), strict=True):
        _draw_panel(axes, values, means[step], network.labels)
        axes.set_title(step, fontsize=11)
        if step in _BEFORE_ATTRACT:
            x, y = means[step][:, :2].T
            dx, dy = _ARROW_SCALE * (means[step] - means[_BEFORE_ATTRACT[step]])[:, :2].T
            axes.quiver(x, y, dx, dy, angles="xy", scale_units="xy", scale=1, width=0.006, zorder=4)
    write_atomically(
        path, lambda temporary: figure.savefig(temporary, format="png", dpi=120, metadata={"Software": ""})
    )


def _draw_panel(
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
    """Build the table and the figure of the page, and return the exit code.

    Args:
        arguments: Command line without the program's name; by default the one of the process.

    Returns:
        0; 1 after one line on stderr, when the page cannot be read or written.
    """
    parser = Parser(prog="python -m studies.method_figure", description=__doc__)
    parser.add_argument("page", type=Path, metavar="PAGE.md")
    return parser.run(_build, arguments)


def _build(options: Namespace) -> None:
    # Features take seconds, so they are extracted after the page has been read.
    networks = cache(builtin_features)
    write_text(options.page, fill_tables(options.page, {"class_distances": lambda: class_distances(networks())}))
    draw_figure(networks()[FIGURE_NETWORK], options.page.with_suffix(".png"))


if __name__ == "__main__":
    sys.exit(main())
