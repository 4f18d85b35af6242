"""The job of ``transfer-exp run``: score and evaluate one cell, which is a pool on one dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from transfer_exp.cli.console import print_paths
from transfer_exp.cli.job_labels import cell_labels, check_numbers, command_line
from transfer_exp.results.cell import CellResult

# Other modules are imported when a job runs: help and typing errors must not wait for torch.


def score_cell(config: DictConfig, folder: Path, sweep: str | None) -> None:
    """Build the parts of a cell, run it, write its files, and print the ranking; a `main.Job`."""
    from transfer_exp.cli.instantiate import build
    from transfer_exp.experiment.experiment import Experiment
    from transfer_exp.experiment.run_log import RunLog
    from transfer_exp.features.extraction import best_device
    from transfer_exp.report.write_run import RunContext, write_run
    from transfer_exp.store import Store

    check_numbers(config)
    labels, protocol = cell_labels(config)
    config.device = str(best_device(config.device))
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
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
