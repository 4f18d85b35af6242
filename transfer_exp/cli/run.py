"""Jobs of ``transfer-exp run``: score and evaluate one cell, or compute and store what such jobs will need.

A cell is a pool on one dataset with one perturbation, metric, regime (``ground_truth``) and seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from transfer_exp.cli.console import print_paths
from transfer_exp.cli.job_labels import (
    cell_labels,
    command_line,
    job_name,
    resolve_settings,
    varied_settings,
    write_status,
)
from transfer_exp.errors import IncompleteOutputError
from transfer_exp.results.cell import CellResult
from transfer_exp.tracker.none import NoTracker
from transfer_exp.tracker.tracker import Tracker

if TYPE_CHECKING:
    from transfer_exp.dataset.arrays import FeatureArrays
    from transfer_exp.dataset.target_dataset import TargetDataset

# Other modules are imported when a job runs: help and typing errors must not wait for torch.


def score_cell(config: DictConfig, folder: Path, sweep: str | None) -> None:
    """Build the objects of a cell, run it, write its files, and print the ranking; a `main.Job`."""
    from transfer_exp.cli.instantiate import build_all
    from transfer_exp.experiment.experiment import Experiment
    from transfer_exp.experiment.run_log import RunLog
    from transfer_exp.report.write_run import RunContext, write_run
    from transfer_exp.store import Store

    labels, protocol = cell_labels(config)
    plain = resolve_settings(config)
    store = Store(plain["store"])
    store.check()
    groups = ("tracker", "evaluation", "perturbation", "metric", "ground_truth", "model_pool", "dataset")
    parts = build_all(groups, plain)
    tracker = parts.pop("tracker")
    parts["pool"] = parts.pop("model_pool").select(plain["models"])
    settings = {name: plain[name] for name in ("device", "seed", "jobs", "inspect")} | plain["features"]
    run_log = RunLog()
    experiment = Experiment(**parts, **settings, store=store, protocol=protocol)
    result = experiment.run({**labels, **varied_settings(config)}, run_log)
    context = RunContext(
        config=plain,
        sweep=sweep,
        command=command_line(single_run=sweep is None),
        seconds=run_log.seconds,
        class_names=experiment.dataset.class_names,
        scoring_sets=run_log.scoring_sets,
        perturb=experiment.scoring.perturb,
        cache_references=run_log.cache_references,
        findings=run_log.findings,
        data=data_digest(tracker, experiment.dataset, experiment.ground_truth.trains),
    )
    try:
        written = write_run(result, context, folder, tracker)
    except IncompleteOutputError as error:
        _print_result(result, error.written, in_sweep=sweep is not None)
        raise
    _print_result(result, written, in_sweep=sweep is not None)


def data_digest(tracker: Tracker, dataset: TargetDataset | FeatureArrays, trains: bool) -> str:
    """Return the digest of the images or arrays of a run for its tracker; empty without one, as it reads every file."""
    return "" if isinstance(tracker, NoTracker) else dataset.content_digest(trains)


def _print_result(result: CellResult, written: Sequence[Path | str], in_sweep: bool) -> None:
    """Print the ranking and the files of a run, or the headline of a cell within a sweep."""
    from transfer_exp.report.ranking_table import headline, ranking_table
    from transfer_exp.terminal import Terminal

    console = Terminal()
    if in_sweep:
        console.print(f"    {headline(result) or 'ranked'}")
        return
    console.print(ranking_table(result))
    print_paths(console, written)


def fill_store(config: DictConfig, folder: Path, sweep: str | None) -> None:
    """Compute what later jobs need, and store it; a `main.Job`.

    The stage ``features`` extracts features, ``grid`` trains points of a hyperparameter grid, and ``finetune`` computes
    accuracies.
    """
    from transfer_exp.cli.instantiate import build_all
    from transfer_exp.experiment.precompute import Precomputation
    from transfer_exp.report.tracked_run import tracked_precompute
    from transfer_exp.store import Store

    plain = resolve_settings(config)
    store = Store(plain["store"])
    store.check()
    trains = plain["stage"] != "features"
    parts = build_all(("tracker", *(["ground_truth"] if trains else []), "model_pool", "dataset"), plain)
    pool, dataset = parts["model_pool"].select(plain["models"]), parts["dataset"]
    settings = plain["features"] | {name: plain[name] for name in ("jobs", "inspect")}
    precomputation = Precomputation(pool, dataset, store, plain["device"], **settings)
    if plain["stage"] == "features":
        cached = precomputation.extract_features(plain.get("splits", ["scoring_set"]))
    else:
        labels, protocol = cell_labels(config)
        names = {"pool": pool.name, "dataset": dataset.name, "regime": labels["ground_truth"]}
        names |= {"protocol": protocol, "seed": str(plain["seed"])}
        if plain["stage"] == "grid":
            cached = precomputation.train_grid_point(parts["ground_truth"], names, plain["point"])
        else:
            cached = precomputation.compute_accuracies(parts["ground_truth"], names)
    counts = [{"what": what, "was_there": there, "count": count} for (what, there), count in sorted(cached.items())]
    name = job_name(config)
    write_status(folder, {"state": "done", "cell": name, "found": counts})
    references = precomputation.run_log.cache_references
    data = data_digest(parts["tracker"], dataset, trains)
    parts["tracker"].record(tracked_precompute(name, plain, sweep, counts, references, data), folder)
