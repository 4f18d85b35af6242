"""Compute the rows of the choice of a learning-rate factor: ``python -m studies.learning_rate_rows FILE.csv``.

Five networks of the built-in pool are adapted by LoRA and BitFit to four targets that `studies.regime_rows` does not
use, with the learning rates of ``protocol=quick`` multiplied by each of `FACTORS`. The factor with the best validation
accuracy is the default of both regimes. Accuracies are cached in a store: call the command again to continue.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import hydra
import pandas as pd

from studies.leaderboard_rows import accuracy_rows, build_target
from transfer_exp.cli.console import Parser
from transfer_exp.cli.instantiate import build
from transfer_exp.cli.job_labels import to_plain
from transfer_exp.cli.option_files import CONF
from transfer_exp.experiment.precompute import Precomputation
from transfer_exp.io.csv import write_table
from transfer_exp.store import Store

TARGETS = ("greek_letters", "digits_noisy", "fractals_thirty", "signs_four_alike")
NETWORKS = ("vit_shapes", "resnet_glyphs", "convnext3_shapes", "mambaout_textures", "byobnet_glyphs")
REGIMES = ("lora", "bitfit")
FACTORS = (1, 4, 10, 25)
SEED = 7


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute what is missing, write the file, and return the exit code."""
    parser = Parser(prog="python -m studies.learning_rate_rows", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE.csv")
    parser.add_argument("--store", default="outputs/store", help="cache of accuracies")
    return parser.run(_compute, arguments)


def _compute(options: Namespace) -> None:
    store, tables = Store(options.store), []
    with hydra.initialize_config_dir(str(CONF), version_base=None):
        for target, regime, factor in product(TARGETS, REGIMES, FACTORS):
            tables.append(factor_rows(store, target, regime, factor))
            print(f"{target}: {regime}, factor {factor}", flush=True)
    write_table(options.file, pd.concat(tables))


def factor_rows(
    store: Store, target: str, regime: str, factor: float, networks: Sequence[str] = NETWORKS
) -> pd.DataFrame:
    """Return a row per network: target, regime, factor, model, chosen rate, validation and test accuracy."""
    dataset, pool = build_target(target)
    name = f"{target}_factor_{factor}"  # the rows of the store do not name the factor
    overrides = [f"ground_truth={regime}", f"ground_truth.learning_rate_factor={factor}", f"seed={SEED}", "device=cpu"]
    config = to_plain(hydra.compose("config", overrides))
    settings = {"store": store, "device": "cpu", "seed": SEED, "inspect": False, **config["features"]}
    work = Precomputation(pool.select(networks), replace(dataset, name=name), **settings)
    work.compute_accuracies(build("ground_truth", config["ground_truth"]), regime, "quick")
    rows = accuracy_rows(store, name, regime, SEED)
    chosen = [json.loads(text) for text in rows["chosen"]]
    return pd.DataFrame(
        {
            "target": target,
            "regime": regime,
            "factor": str(factor),
            "model": rows["model"].to_numpy(),
            "learning_rate": [f"{point['learning_rate']:g}" for point in chosen],
            "validation": [f"{point['validation']:.6g}" for point in chosen],
            "accuracy": rows["accuracy"].to_numpy(),
        }
    )


if __name__ == "__main__":
    sys.exit(main())
