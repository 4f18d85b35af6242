"""Jobs of ``transfer-exp run``: score and evaluate one cell, or compute and store what such jobs will need.

A cell is a pool on one dataset with one perturbation, metric, regime (``ground_truth``) and seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from transfer_exp.cli.console import print_paths
from transfer_exp.cli.job_labels import cell_labels, command_line, job_name, resolve_settings, write_status
from transfer_exp.results.cell import CellResult

# Other modules are imported when a job runs: help and typing errors must not wait for torch.


def score_cell(config: DictConfig, folder: Path, sweep: str | None) -> None:
    """Build the objects of a cell, run it, write its files, and print the ranking; a `main.Job`."""
    from transfer_exp.cli.instantiate import build
    from transfer_exp.experiment.experiment import Experiment
    from transfer_exp.experiment.run_log import RunLog
    from transfer_exp.report.write_run import RunContext, write_run
    from transfer_exp.store import Store

    labels, protocol = cell_labels(config)
    plain = resolve_settings(config)
    groups = ("model_pool", "dataset", "perturbation", "metric", "ground_truth", "evaluation", "tracker")
    parts = {name: build(name, plain[name]) for name in groups}
    tracker = parts.pop("tracker")
    parts["pool"] = parts.pop("model_pool").select(plain["models"])
    settings = {name: plain[name] for name in ("device", "seed")} | plain["features"]
    experiment = Experiment(**parts, **settings, store=Store(plain["store"]), protocol=protocol)
    run_log = RunLog()
    result = experiment.run(labels, run_log)
    context = RunContext(
        config=plain,
        sweep=sweep,
        command=command_line(single_run=sweep is None),
        seconds=run_log.seconds,
        class_names=experiment.dataset.class_names,
        scoring_sets=run_log.scoring_sets,
        perturb=experiment.scoring.perturb,
        cache_references=run_log.cache_references,
    )
    written = write_run(result, context, folder, tracker)
    _print_result(result, written, in_sweep=sweep is not None)


def _print_result(result: CellResult, written: Sequence[Path | str], in_sweep: bool) -> None:
    """Print the ranking and the files of a run, or the headline of a cell within a sweep."""
    from rich.console import Console

    from transfer_exp.report.ranking_table import headline, ranking_table

    console = Console(highlight=False)
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
    from transfer_exp.cli.instantiate import build
    from transfer_exp.experiment.precompute import Precomputation
    from transfer_exp.report.tracked_run import tracked_precompute
    from transfer_exp.store import Store

    plain = resolve_settings(config)
    pool, dataset = build("model_pool", plain["model_pool"]).select(plain["models"]), build("dataset", plain["dataset"])
    store, tracker = Store(plain["store"]), build("tracker", plain["tracker"])
    precomputation = Precomputation(pool, dataset, store, plain["device"], **plain["features"])
    if plain["stage"] == "features":
        cached = precomputation.extract_features(plain.get("splits", ["scoring_set"]))
    else:
        labels, protocol = cell_labels(config)
        names = {"pool": pool.name, "dataset": dataset.name, "regime": labels["ground_truth"]}
        names |= {"protocol": protocol, "seed": str(plain["seed"])}
        regime = build("ground_truth", plain["ground_truth"])
        if plain["stage"] == "grid":
            cached = precomputation.train_grid_point(regime, names, plain["point"])
        else:
            cached = precomputation.compute_accuracies(regime, names)
    counts = [{"what": what, "was_there": there, "count": count} for (what, there), count in sorted(cached.items())]
    name = job_name(config)
    write_status(folder, {"state": "done", "cell": name, "found": counts})
    references = precomputation.run_log.cache_references
    tracker.record(tracked_precompute(name, plain, sweep, counts, references), folder)
