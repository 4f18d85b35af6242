"""Fill the tables of the leaderboard from stored rows: ``python -m studies.leaderboard_page docs/leaderboard.md``."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from studies.document_tables import fill_tables
from transfer_exp.cli.console import Parser
from transfer_exp.cli.leaderboard import dataset_of
from transfer_exp.cli.option_files import CONF
from transfer_exp.evaluation.correlation import kendall, weighted_tau_many
from transfer_exp.evaluation.intervals import percentile_interval, resamples
from transfer_exp.io.accuracies import PUBLISHED
from transfer_exp.io.atomic import write_text
from transfer_exp.leaderboard.rows import (
    PoolRows,
    Variant,
    published_accuracies,
    read_builtin_rows,
    read_real_rows,
)
from transfer_exp.leaderboard.standings import TARGET_FREE_METRICS, Standings, published_static_taus, variant_name
from transfer_exp.leaderboard.table import (
    all_standings,
    is_too_few,
    number_text,
    rank_text,
    regimes_text,
    verdict,
)
from transfer_exp.report.markdown import markdown

_DRAWS = 1000
_COMPARED = (("pca", "logme"), ("pca", "h_score"))
"""Rows that both tables have: the default of ``transfer-exp rank``, and the one that the text compares with it."""
_PUBLISHED_REGIMES = {
    "vanilla_ft": "full",
    "full_ft": "full",
    "last_block_ft": "last_block",
    "linear_ft": "linear_probe",
    "linear_probe_few_shot": "linear probe, few images",
}


@cache
def read_pools() -> dict[str, PoolRows]:
    """Return the stored rows of both pools by name."""
    targets = OmegaConf.load(CONF / "leaderboard.yaml").targets
    builtin = read_builtin_rows({str(name): dataset_of(settings) for name, settings in targets.items()})
    return {"builtin": builtin, "real_pool": read_real_rows()}


@cache
def _standings(pool: str) -> tuple[Standings, ...]:
    return tuple(all_standings(read_pools()[pool]))


def standing(pool: str, top: str = "10") -> str:
    """Return the table of a pool: the top rows, those compared in the text and the baselines; verdict below it."""
    standings = _standings(pool)[0]
    table = standings.table
    can_show_differences = not is_too_few(len(standings.targets), int(table["p_to_best"].notna().sum()))
    rows = []
    for variant, row in table[_is_shown(table, int(top))].iterrows():
        entries = [
            rank_text(row["rank"], row["is_shared"]),
            variant_name(cast("Variant", variant)),
            f"{row['tau']:.3f} [{row['tau_low_95']:.2f}, {row['tau_high_95']:.2f}]",
        ]
        if can_show_differences:
            entries.append(number_text(row["p_to_best"], "{:.2g}"))
        rows.append([*entries, number_text(row["milliseconds"], "{:.0f}")])
    low, high = standings.null_band
    count = len(standings.targets)
    caption = (
        f"Mean tau_w over {count} targets, with its 95 % interval. Regimes: {regimes_text(standings)}. "
        f"Random scores have a mean tau_w from {low:.2f} to {high:.2f} (95 %)."
    )
    head = ["rank", "metric", "tau_w [95 %]", *(["Holm p"] if can_show_differences else []), "ms"]
    return f"{caption}\n\n{markdown(head, rows)}\n\nResult: {verdict(standings)}."


def _is_shown(table: pd.DataFrame, top: int) -> pd.Series:
    """Return which rows a table has: the top, those that the text compares, and the baselines."""
    is_first = pd.Series(range(len(table)), table.index) < top
    is_compared = pd.Series([variant in _COMPARED for variant in table.index], table.index)
    return is_first | is_compared | (table["kind"] == "baseline")


def regimes(pool: str, top: str = "10") -> str:
    """Return tau_w and rank under each regime for the rows of the table of a pool that have a rank."""
    every_standings = _standings(pool)
    main, *others = [one for one in every_standings if one.images_per_class == every_standings[0].images_per_class]
    table = main.table[main.table["rank"].notna()]
    rows = []
    for variant in table.index[_is_shown(table, int(top))]:
        entries = [variant_name(variant)]
        for standings in others:
            row = standings.table.loc[variant]
            entries.append(f"{row['tau']:.3f} ({rank_text(row['rank'], row['is_shared'])})")
        rows.append(entries)
    bands = ", ".join("{} {:.2f} to {:.2f}".format(_regime_name(s.regime), *s.null_band) for s in others)
    caption = (
        f"Mean tau_w over {len(main.targets)} targets. In brackets is the rank among {len(table)} rows. "
        f"Random scores (95 %): {bands}."
    )
    return f"{caption}\n\n{markdown(['metric', *(_regime_name(one.regime) for one in others)], rows)}"


def agreement() -> str:
    """Return Kendall's tau between the orders of the metrics on both pools, with an interval over targets."""
    first, second = (_standings(pool)[0] for pool in ("builtin", "real_pool"))
    names = first.values[first.is_ranked].index.intersection(second.values[second.is_ranked].index)
    names = names[~names.get_level_values("metric").isin(TARGET_FREE_METRICS)]
    values = [standings.values.loc[names].to_numpy() for standings in (first, second)]
    tau = kendall(*(value.mean(axis=1) for value in values))
    drawn = [value[:, resamples(value.shape[1], _DRAWS, seed)].mean(axis=2) for seed, value in enumerate(values)]
    low, high = percentile_interval(
        np.array([kendall(*pair) for pair in zip(*(d.T for d in drawn), strict=True)]), 0.95
    )
    return (
        f"{len(names)} rows without the baselines have a rank in both pools. Kendall's tau between their two orders is "
        f"{tau:.2f}. The 95 % interval over targets is {low:.2f} to {high:.2f}; the same order would have 1."
    )


def published() -> str:
    """Return the tau_w of the static ranking on the published accuracies, with their source and the null band."""
    accuracies = published_accuracies().groupby(["pool", "regime"])
    sources = pd.read_csv(PUBLISHED, usecols=["pool", "source"]).groupby("pool")["source"].first()
    rows = []
    for row in published_static_taus().to_dict("records"):
        pool, regime = str(row["pool"]), str(row["regime"])
        low, high = _random_band(accuracies.get_group((pool, regime)))
        entries = [pool, _repository(sources[pool]), _published_regime(regime), str(row["models"]), str(row["targets"])]
        entries.append(f"{row['tau']:.3f} [{row['tau_low_95']:.2f}, {row['tau_high_95']:.2f}]")
        rows.append([*entries, f"{low:.2f} to {high:.2f}"])
    head = ["pool", "source on GitHub", "regime", "models", "targets", "tau_w [95 %]", "95 % of random scores"]
    return markdown(head, rows)


def _random_band(accuracies: pd.DataFrame) -> tuple[float, float]:
    """Return the interval of 95 % of the mean tau_w of random scores on the targets that have all models."""
    table = accuracies.groupby(["dataset", "model"])["accuracy"].mean().unstack("model").dropna()
    order = np.tile(np.arange(table.shape[1], dtype=np.float64), (_DRAWS, 1))
    rng = np.random.default_rng(0)
    rows = [np.tile(row, (_DRAWS, 1)) for row in table.to_numpy(dtype=np.float64)]
    means = np.mean([weighted_tau_many(rng.permuted(order, axis=1), row) for row in rows], axis=0)
    return percentile_interval(means, 0.95)


def _repository(source: str) -> str:
    """Return the repository that a source of accuracies names, as ``owner/name``."""
    match = re.search(r"[\w.-]+/[\w.-]+", source)
    assert match is not None, f"the source '{source}' names no repository"
    return match[0]


def _published_regime(name: str) -> str:
    """Return the name of a published regime as on the rest of the page; options such as ``|ep=30`` are left out."""
    name = name.partition("|")[0]
    return _regime_name(_PUBLISHED_REGIMES.get(name, name))


def _regime_name(regime: str) -> str:
    return regime.replace("_", " ")


TABLES: Mapping[str, Callable[..., str]] = {
    "standing": standing,
    "regimes": regimes,
    "agreement": agreement,
    "published": published,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite the tables of the page, and return the exit code."""
    parser = Parser(prog="python -m studies.leaderboard_page", description=__doc__)
    parser.add_argument("page", type=Path, metavar="PAGE.md")
    return parser.run(_fill, arguments)


def _fill(options: Namespace) -> None:
    write_text(options.page, fill_tables(options.page, TABLES))


if __name__ == "__main__":
    sys.exit(main())
