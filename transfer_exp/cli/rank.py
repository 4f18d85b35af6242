"""The job behind ``transfer-exp rank``: a pool searched within a budget."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from transfer_exp.cli.console import show_places
from transfer_exp.cli.job_labels import check_numbers, command, labels_of
from transfer_exp.errors import InputError
from transfer_exp.results.search import SearchResult

if TYPE_CHECKING:
    from transfer_exp.experiment.run_log import RunLog
    from transfer_exp.experiment.search import PoolSearch

# Everything else is imported when the job runs: help and a typing error must not wait for torch.

_UNITS = {"s": 1, "m": 60, "h": 3600}


class Outcome(NamedTuple):
    """Result of a search, with the objects that its page needs."""

    found: SearchResult
    search: PoolSearch
    run_log: RunLog


def search_pool(config: DictConfig, folder: Path, group: str | None) -> None:
    """Look at the data, search the pool, and write and show what was found.

    Raises
    ------
    InputError
        For bad input of any kind.
    """
    from rich.console import Console

    from transfer_exp.cli.instantiate import build
    from transfer_exp.report.search_table import search_table
    from transfer_exp.report.write_run import RunContext, write_search

    console = Console(highlight=False)
    labels, _ = labels_of(config)
    tracker = build("tracker", OmegaConf.to_container(config.tracker, resolve=True))  # type: ignore[arg-type]
    found, search, run_log = outcome_of(config, labels, lambda line: console.print(line, markup=False, soft_wrap=True))
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    context = RunContext(
        config=plain,
        sweep=group,
        command=command(group is None),
        seconds=run_log.seconds,
        class_names=search.dataset.class_names,
        scoring_sets=run_log.scoring_sets,
        perturb=search.scoring.perturb,
    )
    written = write_search(found, context, folder, tracker)
    console.print(search_table(found))
    show_places(console, written)


def outcome_of(config: DictConfig, labels: Mapping[str, str], say: Callable[[str], object]) -> Outcome:
    """Build what the config asks for, and search.

    Parameters
    ----------
    config
        Composed from ``conf/rank.yaml``.
    labels
        As `labels_of` gives them.
    say
        Told what the data look like, line by line.

    Raises
    ------
    InputError
        For bad input of any kind.
    """
    from transfer_exp.cli.instantiate import build
    from transfer_exp.dataset.inspection import inspect
    from transfer_exp.dataset.target_dataset import TargetDataset
    from transfer_exp.evaluation.halving import Halving
    from transfer_exp.experiment.search import PoolSearch
    from transfer_exp.features.extraction import best_device
    from transfer_exp.store import Store

    check_numbers(config)
    config.device = str(best_device(config.device))
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    seconds = seconds_of(plain["budget"])
    groups = ("model_pool", "dataset", "perturbation", "metric", "ground_truth")
    parts = {name: build(name, plain[name]) for name in groups}
    parts["pool"] = parts.pop("model_pool").select(plain["models"])
    if plain["inspect"] and isinstance(parts["dataset"], TargetDataset):
        for line in inspect(parts["dataset"]).lines():
            say(line)
    search = PoolSearch(
        **parts,
        halving=Halving(**plain["halving"]),
        seconds=seconds,
        draws=plain["draws"],
        store=Store(plain["store"]),
        **{name: plain[name] for name in ("device", "seed")},
        **plain["features"],
    )
    found, run_log = search.run({name: labels[name] for name in ("perturbation", "metric")})
    return Outcome(found, search, run_log)


def seconds_of(budget: str | int | float | None) -> float | None:
    """Return a time in seconds: a number, or one with its unit, ``s``, ``m`` or ``h``; None is no bound.

    Raises
    ------
    InputError
        For anything else, or no time at all.
    """
    if budget is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(budget).strip())
    seconds = float(found[1]) * _UNITS[found[2] or "s"] if found else 0.0
    if seconds <= 0:
        raise InputError(f"budget={budget} is no time: give one such as 90s, 10m or 2h, or null for no bound")
    return seconds
