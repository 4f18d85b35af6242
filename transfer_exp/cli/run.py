"""Jobs that score: a cell, or a grid of cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from transfer_exp.cli.console import show_places
from transfer_exp.cli.hydra_errors import named_option, options_of
from transfer_exp.cli.job_labels import check_numbers, command, labels_of
from transfer_exp.errors import InputError
from transfer_exp.results.cell import CellResult

# Everything else is imported when a job runs: help and a typing error must not wait for torch.


def score_cell(config: DictConfig, folder: Path, group: str | None) -> None:
    """Build the parts of a cell, run it, and write and show what came out.

    Raises
    ------
    InputError
        For bad input of any kind.
    """
    from transfer_exp.cli.instantiate import build
    from transfer_exp.experiment.experiment import Experiment
    from transfer_exp.experiment.run_log import RunLog
    from transfer_exp.features.extraction import best_device
    from transfer_exp.report.write_run import RunContext, write_run
    from transfer_exp.store import Store

    check_numbers(config)
    labels, protocol = labels_of(config)
    config.device = str(best_device(config.device))
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    groups = ("model_pool", "dataset", "perturbation", "metric", "ground_truth", "evaluation", "tracker")
    parts = {name: build(name, plain[name]) for name in groups}
    tracker = parts.pop("tracker")
    parts["pool"] = parts.pop("model_pool").select(plain["models"])
    store = Store(plain["store"])
    run = {name: plain[name] for name in ("device", "seed")}
    experiment = Experiment(**parts, **plain["features"], **run, store=store, protocol=protocol)
    run_log = RunLog()
    result = experiment.run(labels, run_log)
    context = RunContext(
        config=plain,
        sweep=group,
        command=command(group is None),
        seconds=run_log.seconds,
        class_names=experiment.dataset.class_names,
        scoring_sets=run_log.scoring_sets,
        perturb=experiment.scoring.perturb,
        cache_references=run_log.cache_references,
    )
    written = write_run(result, context, folder, tracker)
    _show(result, written, in_sweep=group is not None)


def score_grid(config: DictConfig, folder: Path, group: str | None) -> None:
    """Score a pool with every metric after every perturbation, and keep the rows.

    Raises
    ------
    InputError
        For bad input of any kind.
    """
    from transfer_exp.cli.instantiate import build
    from transfer_exp.evaluation.score_files import update_scores
    from transfer_exp.experiment.score_matrix import ScoreGrid
    from transfer_exp.features.extraction import best_device
    from transfer_exp.store import Store

    check_numbers(config)
    _refuse_single_axes()
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    axes = {"metric": plain["metrics"] or options_of("metric"), "perturbation": plain["perturbations"]}
    built = {axis: {n: build(axis, named_option(axis, n, config.seed)) for n in names} for axis, names in axes.items()}
    grid = ScoreGrid(
        build("model_pool", plain["model_pool"]).select(plain["models"]),
        build("dataset", plain["dataset"]),
        built["metric"],
        built["perturbation"],
        tuple(plain["images_per_class"]),
        tuple(plain["splits"]),
        build("ground_truth", plain["ground_truth"]),
        Store(plain["store"]),
        str(best_device(config.device)),
        **plain["features"],
        seed=config.seed,
    )
    path = Path(plain["rows"]).expanduser()
    print(f"wrote {update_scores(path, grid.run())} rows to {path}")


def _refuse_single_axes() -> None:
    """Refuse a metric or perturbation set as for a single cell: a grid has lists of them, and would ignore it."""
    for axis in ("metric", "perturbation"):
        for override in HydraConfig.get().overrides.task:
            if override.startswith((f"{axis}=", f"{axis}.")):
                raise InputError(f"{override} means nothing to a grid: set '{axis}s=[NAME, NAME(KEY=VALUE), ...]'")


def _show(result: CellResult, written: list[Path | str], in_sweep: bool) -> None:
    """Print the ranking and the files of a run, or the headline of a cell within a sweep."""
    from rich.console import Console

    from transfer_exp.report.ranking_table import headline, ranking_table

    console = Console(highlight=False)
    if in_sweep:
        console.print(f"    {headline(result) or 'ranked'}")
        return
    console.print(ranking_table(result))
    show_places(console, written)
