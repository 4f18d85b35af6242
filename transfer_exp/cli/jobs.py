"""What one job does: score a cell or a grid of cells, fill the store with what scoring asks for, or search a pool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from omegaconf import DictConfig

from transfer_exp.cli.precompute import fill_store
from transfer_exp.cli.rank import search_pool
from transfer_exp.cli.run import score_cell, score_grid
from transfer_exp.errors import InputError, suggestion

Job: TypeAlias = Callable[[DictConfig, Path, "str | None"], None]
"""Takes the config, the folder for what it writes, and the sweep it is of, if any."""


def job_of(config: DictConfig) -> Job:
    """Return what the config asks for.

    Raises
    ------
    InputError
        For an unknown stage.
    """
    score = search_pool if "halving" in config else score_grid if "rows" in config else score_cell
    jobs = {"score": score, **dict.fromkeys(("features", "grid", "finetune"), fill_store)}
    if config.stage not in jobs:
        raise InputError(f"no stage '{config.stage}': {suggestion(str(config.stage), jobs)}")
    return jobs[config.stage]
