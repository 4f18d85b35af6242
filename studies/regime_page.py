"""Compare the regimes on the built-in pool: ``python -m studies.regime_page docs/results/regimes.md``.

The tables of the page are built from files next to it: ``regimes.csv``, which `studies.regime_rows` computes, and
``learning_rates.csv`` from `studies.learning_rate_rows`. Accuracies are
first averaged over seeds, and times are those of the fastest seed, because other programs only slow a training down. Of
a target, only networks with the rows of both regimes are compared.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from studies.document_tables import fill_tables
from studies.wilcoxon import wilcoxon_p
from transfer_exp.cli.console import Parser
from transfer_exp.evaluation.correlation import weighted_tau
from transfer_exp.evaluation.null_band import null_band
from transfer_exp.evaluation.paired import compare_paired, holm
from transfer_exp.io.atomic import write_text
from transfer_exp.io.csv import read_table
from transfer_exp.report.markdown import markdown

_NUMBERS = ["accuracy", "trainable_parameters", "seconds"]
ByNetwork: TypeAlias = dict[str, dict[str, float]]
"""Values by regime and network."""


def read_rows(folder: Path) -> pd.DataFrame:
    """Return the rows with numbers; a seed of a target and regime that lacks some networks is left out."""
    rows = read_table(folder / "regimes.csv")
    rows[_NUMBERS] = rows[_NUMBERS].apply(pd.to_numeric)
    per_seed = rows.groupby(["dataset", "regime", "seed"])["model"].transform("count")
    return rows[per_seed == rows.groupby("regime")["model"].transform("nunique")]


def by_target(rows: pd.DataFrame, column: str) -> dict[str, ByNetwork]:
    """Return a column by target, regime and network: means over the seeds, of ``seconds`` the minimum."""
    values: dict[str, ByNetwork] = {}
    groups = rows.groupby(["dataset", "regime", "model"], sort=False)[column]
    for keys, value in (groups.min() if column == "seconds" else groups.mean()).items():
        target, regime, model = map(str, keys if isinstance(keys, tuple) else (keys,))
        values.setdefault(target, {}).setdefault(regime, {})[model] = float(value)
    return values


def compared_table(folder: Path, baseline: str) -> str:
    """Return the mean difference of each regime from a baseline over the targets, with tests."""
    accuracies = by_target(read_rows(folder), "accuracy")
    rows, p_values = list[list[str]](), list[float]()
    for regime in _others(accuracies, baseline):
        first, second = dict[str, float | None](), dict[str, float | None]()
        for target, regimes in accuracies.items():
            left, right = _shared(regimes, regime, baseline)
            if len(left):
                first[target], second[target] = float(left.mean()), float(right.mean())
        result = compare_paired(first, second)
        mean = "" if result.mean is None else f"{result.mean:+.3f}"
        interval = "" if result.interval is None else f"{result.interval[0]:+.3f} to {result.interval[1]:+.3f}"
        counts = f"{result.wins}/{result.ties}/{result.losses}"
        rows.append([regime, str(result.pairs), mean, interval, counts])
        p_values.append(wilcoxon_p(result))
    tests = [[f"{p:.3f}", f"{corrected:.3f}"] for p, corrected in zip(p_values, holm(np.array(p_values)), strict=True)]
    head = ["regime", "targets", f"minus {baseline}", "95 % interval", "wins/ties/losses", "p (Wilcoxon)", "Holm p"]
    return markdown(head, [[*row, *test] for row, test in zip(rows, tests, strict=True)])


def targets_table(folder: Path) -> str:
    """Return the accuracy of each regime on each target, a mean over networks, and its best pair of all regimes."""
    rows = read_rows(folder)
    accuracies, names = by_target(rows, "accuracy"), sorted(set(rows["regime"]))
    lines = []
    for target, regimes in accuracies.items():
        means = [f"{np.mean(list(regimes[name].values())):.3f}" if name in regimes else "" for name in names]
        seeds = [rows[(rows["dataset"] == target) & (rows["regime"] == name)]["seed"].nunique() for name in regimes]
        best, model, regime = max((a, model, r) for r, values in regimes.items() for model, a in values.items())
        lines.append([target, *means, str(min(seeds)), f"{model}, {regime} ({best:.3f})"])
    return markdown(["target", *names, "seeds", "best pair (accuracy)"], lines)


def costs_table(folder: Path, baseline: str) -> str:
    """Return the trained parameters and the time of each regime, and the median of their shares of the baseline."""
    rows = read_rows(folder)
    columns = [by_target(rows, column) for column in _NUMBERS[1:]]
    lines = []
    for regime in sorted(set(rows["regime"])):
        count = rows[rows["regime"] == regime]["trainable_parameters"].median()
        shares = []
        for values in columns:
            pairs = [_shared(regimes, regime, baseline) for regimes in values.values()]
            ratios = np.concatenate([left / right for left, right in pairs])
            shares.append(f"{100 * np.median(ratios):.0f} %" if len(ratios) else "")
        lines.append([regime, f"{count:,.0f}", *shares])
    return markdown(["regime", "trained parameters (median)", f"of {baseline}", f"time, of {baseline}"], lines)


def agreement_table(folder: Path, baseline: str) -> str:
    """Return how well the ranking of the networks by each regime agrees with that by the baseline, by target."""
    accuracies = by_target(read_rows(folder), "accuracy")
    others, sizes, lines = _others(accuracies, baseline), set[int](), []
    for target, regimes in accuracies.items():
        entries = []
        for regime in others:
            left, right = _shared(regimes, regime, baseline)
            entries.append(f"{weighted_tau(left, right):.2f}" if len(left) > 1 else "")
            sizes |= {len(left)} - {0, 1}
        lines.append([target, *entries])
    bands = [f"[{null_band(size)[0]:.2f}, {null_band(size)[1]:.2f}] for {size}" for size in sorted(sizes)]
    note = f"tau_w (1: the same order) with the accuracies of {baseline}."
    return f"{markdown(['target', *others], lines)}\n\n{note} The 95 % null band is {' and '.join(bands)} networks."


def learning_rates_table(folder: Path) -> str:
    """Return the mean validation and test accuracy after each factor on the learning rates, by regime."""
    rows = read_table(folder / "learning_rates.csv")
    columns = ["factor", "validation", "accuracy"]
    rows[columns] = rows[columns].apply(pd.to_numeric)
    lines = []
    for regime, of_regime in rows.groupby("regime"):
        means = of_regime.groupby("factor")[["validation", "accuracy"]].mean()
        for factor, row in means.iterrows():
            lines.append([str(regime), f"{factor:g}", f"{row['validation']:.3f}", f"{row['accuracy']:.3f}"])
    return markdown(["regime", "factor", "validation accuracy", "test accuracy"], lines)


def _others(accuracies: dict[str, ByNetwork], baseline: str) -> list[str]:
    return sorted({regime for regimes in accuracies.values() for regime in regimes} - {baseline})


def _shared(regimes: ByNetwork, first: str, second: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of two regimes for the networks that have both."""
    left, right = regimes.get(first, {}), regimes.get(second, {})
    models = [model for model in left if model in right]
    return np.array([left[model] for model in models]), np.array([right[model] for model in models])


TABLES: dict[str, Callable[..., str]] = {
    "compared": compared_table,
    "targets": targets_table,
    "costs": costs_table,
    "agreement": agreement_table,
    "learning_rates": learning_rates_table,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite the tables of the page, and return the exit code."""
    parser = Parser(prog="python -m studies.regime_page", description=__doc__)
    parser.add_argument("page", type=Path, metavar="PAGE.md")
    return parser.run(_fill, arguments)


def _fill(options: Namespace) -> None:
    makers = {name: partial(maker, options.page.parent) for name, maker in TABLES.items()}
    write_text(options.page, fill_tables(options.page, makers))


if __name__ == "__main__":
    sys.exit(main())
