"""Compute the rows of the leaderboard: ``python -m studies.leaderboard_rows FOLDER``.

FOLDER is ``transfer_exp/leaderboard``, and ``conf/leaderboard.yaml`` has the targets. The accuracies of all networks on
every target are those of ``+sweep=builtin_pool``: thirty steps at two learning rates for ``full`` and ``last_block``.
The images of a target do not change; the seed decides the head, the batches and the validation split.

Everything is computed in pieces, a target at a time, and cached in a store. The files are written after each piece, and
hold what is finished: first all regimes with seed 0, then the other seeds. Call the command again to continue.
"""

from __future__ import annotations

import logging
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, cast

import hydra
import pandas as pd
from omegaconf import OmegaConf

from transfer_exp.cli.console import Parser
from transfer_exp.cli.instantiate import build, build_all
from transfer_exp.cli.job_labels import to_plain
from transfer_exp.cli.option_files import CONF
from transfer_exp.cli.score_matrix import compose_option
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.evaluation.score_files import update_scores
from transfer_exp.experiment.precompute import Precomputation
from transfer_exp.experiment.score_matrix import ScoreMatrix
from transfer_exp.io.csv import read_table, write_table
from transfer_exp.leaderboard.costs import measure_seconds
from transfer_exp.store import Store

_log = logging.getLogger(__name__)
Piece: TypeAlias = tuple[str, int]
"""Regime and seed."""

PERTURBATIONS = ("none", "pca", "attract", "released", "spread_attract", "second_release", "gaussian_noise")
REGIMES = ("full", "last_block", "linear_probe")
SCORES: Piece = ("scores", 0)
SLOW_SCORES: Piece = ("slow scores", 0)
_SLOW_METRICS = ("itm", "linear_classifier", "nleep")
_FAST_PERTURBATIONS = ("none", "pca")
"""Perturbations after which the slow metrics are computed first; the others are `SLOW_SCORES`."""
PIECES: tuple[Piece, ...] = (
    ("linear_probe", 0),
    SCORES,
    *((regime, seed) for seed in (0, 1, 2) for regime in REGIMES if (regime, seed) != ("linear_probe", 0)),
    SLOW_SCORES,
)
"""Pieces of the accuracies in the order in which they are computed, so that a part of them is useful."""
NOT_SCORED = ("static_rank", "learned_fusion", "imagenet_accuracy", "recommended")
"""Metrics that need accuracies of the networks on other targets, or on ImageNet; and a second name of one."""
_COLUMNS = ["pool", "model", "dataset", "regime", "seed", "accuracy"]


def read_targets() -> dict[str, list[str]]:
    """Return the overrides of every target in ``conf/leaderboard.yaml``, by name."""
    return cast("dict[str, list[str]]", OmegaConf.to_container(OmegaConf.load(CONF / "leaderboard.yaml").targets))


@cache
def build_target(name: str) -> tuple[TargetDataset, Any]:
    """Return the images and the pool of a target; the images are those of seed 0."""
    config = hydra.compose("config", [*read_targets()[name], "ground_truth=none", "tracker=none", "device=cpu"])
    parts = build_all(("dataset", "model_pool"), to_plain(config))
    return parts["dataset"], parts["model_pool"]


def finish_accuracies(store: Store, target: str, regime: str, seed: int, models: Sequence[str] | None = None) -> None:
    """Compute the accuracies of networks (all by default) on a target that the store lacks."""
    dataset, pool = build_target(target)
    config = to_plain(hydra.compose("config", [f"ground_truth={regime}", f"seed={seed}", "device=cpu"]))
    settings = {"store": store, "device": "cpu", "seed": seed, "inspect": False, **config["features"]}
    work = Precomputation(pool.select(models), replace(dataset, name=target), **settings)
    work.compute_accuracies(build("ground_truth", config["ground_truth"]), regime, "quick")


def accuracy_rows(store: Store, target: str, regime: str, seed: int) -> pd.DataFrame:
    """Return the accuracies in the store for one piece, with all columns."""
    with store.backend.local_file("accuracies.csv") as path:
        rows = read_table(path)
    return rows[_is_of(rows, target, regime, seed)]


def add_accuracies(
    path: Path,
    store: Store,
    target: str,
    regime: str,
    seed: int,
    columns: Sequence[str] = _COLUMNS,
    targets: Iterable[str] | None = None,
) -> bool:
    """Add the accuracies of all networks on a target to a file, and return True; False if the file has them.

    Args:
        path: CSV with ``columns``, created if missing. Rows are ordered by target, regime and seed.
        store: Cache of accuracies.
        target, regime, seed: The piece to add.
        columns: Columns of the file.
        targets: Targets of the file in order; None for those of `read_targets`.
    """
    rows = read_table(path) if path.is_file() else pd.DataFrame(columns=list(columns))
    if _is_of(rows, target, regime, seed).any():
        return False
    finish_accuracies(store, target, regime, seed)
    rows = pd.concat([rows, accuracy_rows(store, target, regime, seed)])[list(columns)]
    order = {name: i for i, name in enumerate(read_targets() if targets is None else targets)}
    rows = rows.assign(position=rows["dataset"].map(order)).sort_values(["position", "regime", "seed"], kind="stable")
    write_table(path, rows[list(columns)])
    return True


def _is_of(rows: pd.DataFrame, target: str, regime: str, seed: int) -> pd.Series:
    return (rows["dataset"] == target) & (rows["regime"] == regime) & (rows["seed"] == str(seed))


def score_rows(
    store: Store,
    target: str,
    metrics: Sequence[str],
    perturbations: Sequence[str],
    models: Sequence[str] | None = None,
) -> list[dict[str, str]]:
    """Return the scores of networks (all by default) on a target by metrics, after perturbations that change them."""
    dataset, pool = build_target(target)
    pool = pool.select(models)
    built = {name: build("metric", compose_option("metric", name, seed=0)) for name in metrics}
    config = to_plain(hydra.compose("config", ["ground_truth=none", "tracker=none"]))
    grid = ScoreMatrix(
        pool,
        replace(dataset, name=target),
        metrics=built,
        perturbations={
            name: build("perturbation", compose_option("perturbation", name, seed=0)) for name in perturbations
        },
        images_per_class=(None,),
        splits=("train",),
        ground_truth=build("ground_truth", config["ground_truth"]),
        store=store,
        device="cpu",
        **config["features"],
        seed=0,
        inspect=False,
    )
    changed = {name for name, metric in built.items() if {"features", "class_statistics"} & set(metric.inputs)}
    rows = [row for row in grid.run() if row["perturbation"] == "none" or row["metric"] in changed]
    names = [candidate.name for candidate in pool.candidates]
    return [{**row, **{name: f"{float(row[name]):.6g}" if row[name] else "" for name in names}} for row in rows]


def finish_scores(path: Path, store: Store, target: str, metrics: Sequence[str], perturbations: Sequence[str]) -> None:
    """Add the rows of a target to a file of scores for the metrics that have none after these perturbations."""
    scored: set[str] = set()
    if path.is_file():
        rows = read_table(path)
        scored = set(rows["metric"][(rows["dataset"] == target) & rows["perturbation"].isin(perturbations)])
    missing = [name for name in metrics if name not in scored]
    if missing:
        update_scores(path, score_rows(store, target, missing, perturbations))


def finish_costs(folder: Path, repeats: int = 3) -> None:
    """Add the seconds of each variant in the file of scores that the file of costs lacks, see `measure_seconds`."""
    path, rows = folder / "costs.csv", read_table(folder / "scores.csv")
    table = read_table(path) if path.is_file() else pd.DataFrame(columns=["metric", "perturbation", "seconds"])
    known = set(zip(table["metric"], table["perturbation"], strict=True))
    added = []
    for metric, perturbation in sorted(set(zip(rows["metric"], rows["perturbation"], strict=True)) - known):
        built = build("metric", compose_option("metric", metric, seed=0))
        after = build("perturbation", compose_option("perturbation", perturbation, seed=0))
        seconds = measure_seconds(built, after, repeats)
        if seconds is not None:
            added.append({"metric": metric, "perturbation": perturbation, "seconds": f"{seconds:.3g}"})
    table = pd.concat([table, pd.DataFrame(added)]).sort_values(["metric", "perturbation"])
    write_table(path, table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute what is missing, and return the exit code."""
    parser = Parser(prog="python -m studies.leaderboard_rows", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--store", default="outputs/store", help="cache of features and accuracies")
    parser.add_argument("--only", nargs="+", metavar="TARGET", help="targets to compute (default: all)")
    parser.add_argument("--costs", action="store_true", help="measure the missing costs of scored metrics instead")
    return parser.run(_compute, arguments)


def _compute(options: Namespace) -> None:
    store, targets, path = Store(options.store), read_targets(), options.folder / "scores.csv"
    metrics = sorted({path.stem for path in (CONF / "metric").glob("*.yaml")} - set(NOT_SCORED))
    with hydra.initialize_config_dir(str(CONF), version_base=None):
        if options.costs:
            finish_costs(options.folder)
            return
        for piece in PIECES:
            for target in options.only or targets:
                start = time.process_time()
                if piece == SCORES:
                    finish_scores(path, store, target, [m for m in metrics if m not in _SLOW_METRICS], PERTURBATIONS)
                    finish_scores(path, store, target, _SLOW_METRICS, _FAST_PERTURBATIONS)
                elif piece == SLOW_SCORES:
                    others = [name for name in PERTURBATIONS if name not in _FAST_PERTURBATIONS]
                    finish_scores(path, store, target, _SLOW_METRICS, others)
                else:
                    add_accuracies(options.folder / "accuracies.csv", store, target, *piece)
                seconds = time.process_time() - start
                print(f"{piece[0]} seed {piece[1]}: {target} ({seconds:.0f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
