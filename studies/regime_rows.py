"""Compute the rows of the comparison of regimes: ``python -m studies.regime_rows docs/results/regimes.csv``.

Every network of the built-in pool is adapted to ten targets of the leaderboard by `REGIMES`. A piece is a regime on a
target with a seed. Pieces that the file has are left out. The others are cached in a store, and the file is written
after each of them: call the command again to continue.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import hydra

from studies.leaderboard_rows import add_accuracies
from transfer_exp.cli.console import Parser
from transfer_exp.cli.option_files import CONF
from transfer_exp.store import Store

TARGETS = (
    *("signs_5_shots", "textures_5_shots", "digits_5_shots", "cyrillic_letters_5_shots", "fractals_5_shots"),
    *("signs", "textures", "digits", "cyrillic_letters", "fractals"),
)
REGIMES = ("lora", "full", "bitfit", "partial", "last_block")
_COLUMNS = ["pool", "model", "dataset", "regime", "seed", "accuracy", "trainable_parameters", "seconds"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute what is missing, and return the exit code."""
    parser = Parser(prog="python -m studies.regime_rows", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE.csv")
    parser.add_argument("--store", default="outputs/store", help="cache of accuracies")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    return parser.run(_compute, arguments)


def _compute(options: Namespace) -> None:
    store = Store(options.store)
    with hydra.initialize_config_dir(str(CONF), version_base=None):
        for seed, regime, target in product(range(options.seeds), REGIMES, TARGETS):
            start = time.process_time()
            if add_accuracies(options.file, store, target, regime, seed, _COLUMNS, TARGETS):
                print(f"{regime} seed {seed}: {target} ({time.process_time() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
