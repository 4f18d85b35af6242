"""Fill the tables of the leaderboard from stored rows: ``python -m studies.leaderboard_page docs/leaderboard.md``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from studies.document_tables import fill_tables
from transfer_exp.cli.console import Parser
from transfer_exp.cli.leaderboard import dataset_of
from transfer_exp.cli.option_files import CONF
from transfer_exp.evaluation.correlation import kendall
from transfer_exp.evaluation.intervals import percentile_interval, resamples
from transfer_exp.io.atomic import write_text
from transfer_exp.leaderboard.rows import PoolRows, read_builtin_rows, read_real_rows
from transfer_exp.leaderboard.standings import TARGET_FREE_METRICS, Standings, published_static_taus, variant_name
from transfer_exp.leaderboard.table import all_standings, markdown_table, rank_text
from transfer_exp.report.markdown import markdown

_DRAWS = 1000


@cache
def read_pools() -> dict[str, PoolRows]:
    """Return the stored rows of both pools by name."""
    targets = OmegaConf.load(CONF / "leaderboard.yaml").targets
    builtin = read_builtin_rows({str(name): dataset_of(settings) for name, settings in targets.items()})
    return {"builtin": builtin, "real_pool": read_real_rows()}


@cache
def _standings(pool: str) -> tuple[Standings, ...]:
    return tuple(all_standings(read_pools()[pool]))


def standing(pool: str, top: str = "15") -> str:
    """Return the table of a pool: the top rows and the baselines, with verdict and null band below."""
    return markdown_table(_standings(pool)[0], int(top))


def regimes(pool: str, top: str = "15") -> str:
    """Return tau_w and rank under each regime for the top rows of a pool."""
    every_standings = _standings(pool)
    main, *others = [one for one in every_standings if one.images_per_class == every_standings[0].images_per_class]
    rows = []
    for variant in main.table.index[: int(top)]:
        entries = [variant_name(variant)]
        for standings in others:
            row = standings.table.loc[variant]
            entries.append(f"{row['tau']:.3f} ({rank_text(row['rank'], row['is_shared'])})")
        rows.append(entries)
    return markdown(["metric", *(standings.regime.replace("_", " ") for standings in others)], rows)


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
        f"Kendall's tau between the two orders of {len(names)} metrics and perturbations: {tau:.2f} "
        f"(95 % {low:.2f} to {high:.2f}, over the targets of both pools)."
    )


def published() -> str:
    """Return the static ranking on the published accuracies."""
    rows = []
    for row in published_static_taus().to_dict("records"):
        tau = f"{row['tau']:.3f} [{row['tau_low_95']:.2f}, {row['tau_high_95']:.2f}]"
        rows.append([str(row["pool"]), str(row["regime"]), str(row["models"]), str(row["targets"]), tau])
    return markdown(["pool", "regime", "models", "targets", "static ranking: tau_w [95 %]"], rows)


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
