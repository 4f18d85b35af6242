"""Jobs of ``transfer-exp run``: score and evaluate one cell, or compute and store what such jobs will need.

A cell is a pool on one dataset with one perturbation, metric, regime (``ground_truth``) and seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from transfer_exp.cli.console import relative_path
from transfer_exp.cli.job_labels import (
    cell_labels,
    command_line,
    job_columns,
    resolve_settings,
    to_plain,
    varied_settings,
    write_status,
)
from transfer_exp.cli.output import Outcome
from transfer_exp.cli.settings import check_job
from transfer_exp.cli.tracked_job import describe_job
from transfer_exp.progress import phase
from transfer_exp.tracker.live_run import LiveRun

if TYPE_CHECKING:
    from transfer_exp.experiment.experiment import Experiment
    from transfer_exp.experiment.run_log import RunLog
    from transfer_exp.experiment.search import PoolSearch
    from transfer_exp.report.write_run import RunContext

# Other modules are imported when a job runs, those that need torch once the settings and the dataset are checked.


def score_cell(config: DictConfig, folder: Path, sweep: str | None) -> Outcome:
    """Build the objects of a cell, run it, and write its files; a `main.Job`."""
    labels, protocol = cell_labels(config)
    groups = ("tracker", "evaluation", "perturbation", "metric", "dataset", "model_pool", "ground_truth")
    plain, settings, parts = build_parts(config, groups)
    tracker = parts.pop("tracker")

    from transfer_exp.experiment.experiment import Experiment
    from transfer_exp.experiment.run_log import RunLog
    from transfer_exp.report.write_run import write_run

    run_log = RunLog()
    experiment = Experiment(**parts, **settings, protocol=protocol)
    labels |= varied_settings(config)
    trains = experiment.ground_truth.trains
    tracked_run = describe_job(config, plain, experiment.cell(labels), sweep, tracker, experiment.dataset, trains)
    with LiveRun(tracker, tracked_run, folder) as live_run:
        result = experiment.run(labels, run_log)
        finish = live_run.finish if live_run.is_recorded else None
        output = write_run(result, run_context(plain, sweep, experiment, run_log), folder, finish)

    from transfer_exp.report.ranking_table import headline, ranking_table

    summary = partial(ranking_table, result, Path(relative_path(folder)))
    return Outcome(summary, headline(result) or "ranked", output.written, output.problem)


def run_context(
    plain: Mapping[str, Any], sweep: str | None, work: Experiment | PoolSearch, run_log: RunLog
) -> RunContext:
    """Return what the files of a result tell in addition to it.

    Args:
        plain: Settings of the job as plain data.
        sweep: Name of the sweep that the job belongs to, or None.
        work, run_log: What has computed the result, and its log.
    """
    from transfer_exp.report.write_run import RunContext

    phase("writing the results")
    return RunContext(
        config=plain,
        sweep=sweep,
        command=command_line(single_run=sweep is None),
        seconds=run_log.seconds,
        class_names=work.dataset.class_names,
        scoring_sets=run_log.scoring_sets,
        perturb=work.scoring.perturb,
        cache_references=run_log.cache_references,
        findings=run_log.findings,
    )


def build_parts(config: DictConfig, groups: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return all settings as plain data, those of `PoolOnDataset` with the store, and the objects of some groups.

    The object of ``model_pool`` is ``pool``, with the chosen models. What needs no torch is checked first, because
    torch takes seconds to import.
    """
    from transfer_exp.cli.instantiate import build, build_all, check_needs, check_regime
    from transfer_exp.store import Store

    plain = to_plain(config)
    check_job(plain)
    check_regime(plain["ground_truth"])
    store = Store(plain["store"])
    store.check()
    phase("reading the model pool")
    pool = build("model_pool", plain["model_pool"]).select(plain["models"])  # first, because it imports the least
    phase("reading the dataset")
    late = ["ground_truth"] if "ground_truth" in groups and "device" in plain["ground_truth"] else []
    parts = build_all([group for group in groups if group not in ("model_pool", *late)], plain) | {"pool": pool}

    from transfer_exp.dataset.arrays import FeatureArrays  # after the images are read: it imports pandas

    if "metric" in parts:
        check_needs(parts["metric"], plain["ground_truth"])
    if isinstance(parts.get("dataset"), FeatureArrays) and "metric" in parts:
        parts["dataset"].check_metric(parts["metric"].name, parts["metric"].inputs)
    phase("loading torch")
    plain = resolve_settings(config)
    settings = {name: plain[name] for name in ("device", "seed", "jobs", "inspect")} | plain["features"]
    return plain, {"store": store, **settings}, parts | build_all(late, plain)


def fill_store(config: DictConfig, folder: Path, sweep: str | None) -> Outcome:
    """Compute what later jobs need, and store it; a `main.Job`.

    The stage ``features`` extracts features, ``grid`` trains points of a hyperparameter grid, and ``finetune`` computes
    accuracies.
    """
    trains = config.stage != "features"
    groups = ("tracker", "dataset", "model_pool", *(["ground_truth"] if trains else []))
    plain, settings, parts = build_parts(config, groups)

    from transfer_exp.experiment.precompute import Precomputation
    from transfer_exp.report.tracked_results import precompute_results

    precomputation, name = Precomputation(parts["pool"], parts["dataset"], **settings), job_columns(config)
    tracked_run = describe_job(config, plain, name, sweep, parts["tracker"], parts["dataset"], trains)
    with LiveRun(parts["tracker"], tracked_run, folder) as live_run:
        if plain["stage"] == "features":
            cached = precomputation.extract_features(plain.get("splits", ["scoring_set"]))
        else:
            labels, protocol = cell_labels(config)
            regime = parts["ground_truth"], labels["ground_truth"], protocol
            if plain["stage"] == "grid":
                cached = precomputation.train_grid_point(*regime, plain["point"])
            else:
                cached = precomputation.compute_accuracies(*regime)
        counts = [{"what": what, "was_there": there, "count": count} for (what, there), count in sorted(cached.items())]
        write_status(folder, {"state": "done", "cell": name, "found": counts})
        live_run.finish(precompute_results(plain["stage"], counts, precomputation.run_log.cache_references))
    return Outcome()
