"""Fill the tables of the page on choosing a metric: ``python -m studies.which_metric docs/which_metric.md``.

The rows are those of the 23 real networks, next to the pages of the results: the tau_w of every metric after every
perturbation by regime and number of images, and the time of a score.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from studies.document_tables import fill_tables
from transfer_exp.cli.console import Parser
from transfer_exp.io.atomic import write_text
from transfer_exp.leaderboard.rows import read_costs
from transfer_exp.report.markdown import markdown

RESULTS = Path(__file__).parents[1] / "docs" / "results"
IMAGES = ("20", "50", "all")
_MEAN = "mean without cifar10"
_KEY = ["metric", "perturbation"]
_BEST = 12
_BASELINES = ("imagenet_accuracy", "parameter_count", "random", "static_rank")


def read_taus() -> pd.DataFrame:
    """Return a row for each metric on raw features or after PCA, full fine-tuning, highest mean tau_w first.

    The columns are the mean tau_w over targets for each number of images in `IMAGES`, their ``mean``, and the tau_w on
    the ``worst`` target with all images.
    """
    rows = pd.read_csv(RESULTS / "real_pool_taus.csv", dtype={"images_per_class": str})
    rows = rows[(rows["regime"] == "full") & rows["perturbation"].isin(["none", "pca"])]
    taus = rows.pivot_table(_MEAN, _KEY, "images_per_class")[list(IMAGES)].dropna()
    targets = [name for name in rows.columns[4:] if name not in ("cifar10", _MEAN)]
    worst = rows[rows["images_per_class"] == "all"].set_index(_KEY)[targets].min(axis=1)
    return taus.assign(mean=taus.mean(axis=1), worst=worst).sort_values("mean", ascending=False, kind="stable")


def best_metrics() -> str:
    """Return a table of the metrics with the highest tau_w, and of the baselines."""
    taus = read_taus()
    costs = read_costs()
    is_baseline = taus.index.get_level_values("metric").isin(_BASELINES)
    baselines = taus[is_baseline & (taus.index.get_level_values("perturbation") == "none")]
    lines = []
    for key, row in pd.concat([taus[~is_baseline][:_BEST], baselines]).iterrows():
        metric, perturbation = key if isinstance(key, tuple) else (key, "none")
        seconds = costs.get((perturbation, metric))
        numbers = [f"{row[name]:.2f}" for name in (*IMAGES, "worst")]
        lines.append([f"`{metric}`", str(perturbation), *numbers, "" if seconds is None else f"{seconds:.2f}"])
    head = ["metric", "perturbation", *(f"{n} images a class" for n in IMAGES), "worst target", "seconds a model"]
    return markdown([name.replace("all images a class", "all images") for name in head], lines)


def differences() -> str:
    """Return a sentence on how far the best metrics are apart."""
    taus = read_taus()
    taus = taus[~taus.index.get_level_values("metric").isin(_BASELINES)]
    gaps = [f"{taus[n].nlargest(_BEST).iloc[0] - taus[n].nlargest(_BEST).iloc[-1]:.2f}" for n in IMAGES]
    return (
        f"The best and the twelfth best of {len(taus)} are {gaps[0]}, {gaps[1]} and {gaps[2]} apart in tau_w with 20, "
        "50 and all images a class."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill the page, and return the exit code."""
    parser = Parser(prog="python -m studies.which_metric", description=__doc__)
    parser.add_argument("page", type=Path, metavar="PAGE.md")
    return parser.run(_fill, arguments)


TABLES = {"best_metrics": best_metrics, "differences": differences}


def _fill(options: Namespace) -> None:
    write_text(options.page, fill_tables(options.page, TABLES))
    print(f"wrote {options.page}")


if __name__ == "__main__":
    sys.exit(main())
