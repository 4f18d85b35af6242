"""Compare layers of the built-in and of real networks: ``python -m studies.layers docs/results/layers.md [SWEEP]``.

With the folder of a sweep over datasets and metrics under ``features.layer=best``, its rows are stored first. The
option ``--pool real`` says that it is a sweep of the real networks.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from studies.document_tables import fill_tables
from transfer_exp.cli.console import Parser
from transfer_exp.evaluation.correlation import weighted_tau
from transfer_exp.evaluation.null_band import null_band
from transfer_exp.evaluation.paired import compare_paired
from transfer_exp.io.atomic import write_text
from transfer_exp.io.csv import read_table, write_table
from transfer_exp.report.markdown import markdown
from transfer_exp.report.record import read_record
from transfer_exp.results.folder import cell_folders


class Pool(NamedTuple):
    """Files of a pool, relative to the page.

    Attributes:
        rows: Scores by layer.
        accuracies: Accuracies of the networks, of which those of full fine-tuning count.
        control: Target without part in any mean, because networks of the pool were trained on it; may be empty.
    """

    rows: str
    accuracies: str
    control: str = ""


POOLS = {
    "builtin": Pool("layer_scores.csv", "builtin_pool_accuracies.csv"),
    "real": Pool("real_layer_scores.csv", "../../studies/real_pool/accuracies.csv", control="cifar10"),
}
VITS = ("vit_shapes", "vit2_glyphs")
"""Vision transformers of the built-in pool."""
HEAD_INPUT = "head_input"
CHOICES: Mapping[str, Callable[[Sequence[float]], float]] = {
    HEAD_INPUT: lambda scores: scores[-1],
    "last block": lambda scores: scores[-2],
    "penultimate block": lambda scores: scores[-3],
    "first block": lambda scores: scores[0],
    "best": max,
    "mean score": lambda scores: float(np.mean(scores)),
}
"""Score of a model from the scores of its layers, from the input on and ``head_input`` last."""


def store_rows(sweep: Path, path: Path) -> None:
    """Write a row for each dataset, metric, model and layer of the cells of a sweep."""
    cells = [read_record(folder / "result.json") for folder in cell_folders(sweep)]
    rows = [
        (cell.cell["dataset"], cell.cell["metric"], model.model, layer, score)
        for cell in cells
        for model in cell.models
        for layer, score in model.layer_scores.items()
    ]
    frame = pd.DataFrame(rows, columns=["dataset", "metric", "model", "layer", "score"])
    frame = frame.sort_values(["dataset", "metric", "model"], kind="stable")
    write_table(path, frame)


def read_taus(results: Path, pool: str, models: Collection[str] = ()) -> pd.DataFrame:
    """Return the tau_w of each choice of a layer, a row for each dataset and metric.

    Args:
        results: Folder of the page.
        pool: One of `POOLS`; a control target is left out.
        models: Models that the choice applies to, while the others keep ``head_input``; empty for all.
    """
    files = POOLS[pool]
    scores, truths = read_table(results / files.rows), _read_truths(results / files.accuracies)
    rows = []
    for (dataset, metric), cell in scores[scores["dataset"] != files.control].groupby(["dataset", "metric"], sort=True):
        layers = {model: group["score"].astype(float).tolist() for model, group in cell.groupby("model", sort=True)}
        truth = truths.reindex(pd.MultiIndex.from_product([[dataset], layers])).to_numpy()
        taus = {}
        for name, choose in CHOICES.items():
            choices = [choose if not models or m in models else CHOICES[HEAD_INPUT] for m in layers]
            chosen = [function(values) for function, values in zip(choices, layers.values(), strict=True)]
            taus[name] = weighted_tau(np.array(chosen), truth)
        rows.append({"dataset": dataset, "metric": metric, **taus})
    return pd.DataFrame(rows)


def _read_truths(path: Path) -> pd.Series:
    """Return the accuracies of full fine-tuning by dataset and model, means over seeds."""
    table = read_table(path)
    full = table[table["regime"].str.split("/").str[0] == "full"] if "regime" in table else table
    return full.assign(accuracy=full["accuracy"].astype(float)).groupby(["dataset", "model"])["accuracy"].mean()


def tau_table(results: Path, pool: str) -> str:
    """Return the mean tau_w over datasets of each choice, by metric."""
    taus = read_taus(results, pool)
    means = taus.groupby("metric")[list(CHOICES)].mean()
    return markdown(
        ["metric", *CHOICES], [[f"`{metric}`", *(f"{value:.2f}" for value in row)] for metric, row in means.iterrows()]
    )


def paired_table(results: Path, what: str) -> str:
    """Return each choice compared with ``head_input``, over datasets and averaged over metrics.

    Args:
        results: Folder of the page.
        what: One of `POOLS`; ``both`` for the targets of all pools; ``vits`` for a choice for `VITS` only.
    """
    pools = list(POOLS) if what == "both" else ["builtin" if what == "vits" else what]
    rows = pd.concat([read_taus(results, pool, VITS if what == "vits" else ()).assign(pool=pool) for pool in pools])
    taus = rows.assign(dataset=rows["pool"] + " " + rows["dataset"]).groupby("dataset")[list(CHOICES)].mean()
    columns = {name: {str(dataset): float(tau) for dataset, tau in taus[name].items()} for name in CHOICES}
    lines = []
    for name in list(CHOICES)[1:]:
        paired = compare_paired(columns[name], columns[HEAD_INPUT])
        assert paired.mean is not None
        assert paired.interval is not None
        low, high = paired.interval
        counts = f"{paired.wins} / {paired.ties} / {paired.losses}"
        lines.append([name, f"{paired.mean:+.2f} [{low:+.2f}, {high:+.2f}]", counts, f"{paired.sign_flip_p:.2f}"])
    return markdown(["layer", "change of tau_w [95 %]", "better / equal / worse", "p"], lines)


def chosen_table(results: Path, pool: str, models: str = "") -> str:
    """Return how often each metric scores which layer of a network highest; ``vits`` counts only `VITS`."""
    scores, rows = read_table(results / POOLS[pool].rows), []
    scores = scores[scores["model"].isin(VITS)] if models == "vits" else scores
    for metric, group in scores.groupby("metric", sort=True):
        counts = Counter[str]()
        for _, layers in group.groupby(["dataset", "model"]):
            values = layers["score"].astype(float).tolist()
            best = max(range(len(values)), key=lambda i: (values[i], i)) - len(values)
            counts[{-1: HEAD_INPUT, -2: "last block", -3: "penultimate block"}.get(best, "earlier block")] += 1
        names = (HEAD_INPUT, "last block", "penultimate block", "earlier block")
        rows.append([f"`{metric}`", *(f"{100 * counts[name] / counts.total():.0f} %" for name in names)])
    return markdown(["metric", HEAD_INPUT, "last block", "penultimate block", "earlier block"], rows)


def band(results: Path, pool: str) -> str:
    """Return the null band of tau_w for the networks of a pool."""
    models = read_table(results / POOLS[pool].rows)["model"].nunique()
    low, high = null_band(models)
    return f"95 % of random rankings of the {models} networks have a tau_w between {low:.2f} and {high:.2f}."


def fill_page(page: Path) -> str:
    """Return the text of the page with its tables filled."""
    makers = {"taus": tau_table, "paired": paired_table, "chosen": chosen_table, "band": band}
    return fill_tables(page, {name: partial(make, page.parent) for name, make in makers.items()})


def main() -> int:
    """Store the rows of a sweep if there is one, fill the page, and return the exit code."""
    parser = Parser(prog="python -m studies.layers", description=__doc__)
    parser.add_argument("page", type=Path, metavar="PAGE.md")
    parser.add_argument("sweep", type=Path, nargs="?", metavar="SWEEP", help="folder of a sweep with layer scores")
    parser.add_argument("--pool", choices=POOLS, default="builtin", help="networks of the sweep")
    return parser.run(_fill)


def _fill(options: Namespace) -> None:
    if options.sweep is not None:
        store_rows(options.sweep, options.page.parent / POOLS[options.pool].rows)
    write_text(options.page, fill_page(options.page))


if __name__ == "__main__":
    sys.exit(main())
