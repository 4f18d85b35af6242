"""What one job does: score a cell or a grid of cells, or fill the store with what scoring will ask for."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from transfer_exp.experiment.composition import named_option, options_of
from transfer_exp.report.terminal import from_here
from transfer_exp.types import CellResult, InputError, suggestion
from transfer_exp.types.command import typed

# Everything else is imported when a job runs: help and a typing error must not wait for torch.

Job: TypeAlias = Callable[[DictConfig, Path, "str | None"], None]
"""Takes the config, the folder for what it writes, and the sweep it is of, if any."""
_VIEWS = {True: 5, False: 3}
"""Models whose features a page shows, of a run alone and of a cell among many."""
_LABELLED = ("perturbation", "metric", "ground_truth")
_LEAST = {"seed": 0, "features.batch_size": 1, "features.workers": 0}


def job_of(config: DictConfig) -> Job:
    """Return what the config asks for.

    Raises
    ------
    InputError
        For an unknown stage.
    """
    score = score_grid if "rows" in config else score_cell
    jobs = {"score": score, **dict.fromkeys(("features", "grid", "finetune"), fill_store)}
    if config.stage not in jobs:
        raise InputError(f"no stage '{config.stage}': {suggestion(str(config.stage), jobs)}")
    return jobs[config.stage]


def score_cell(config: DictConfig, folder: Path, group: str | None) -> None:
    """Build the parts of a cell, run it, and write and show what came out.

    Raises
    ------
    InputError
        For bad input of any kind.
    """
    from transfer_exp.experiment.cell import Experiment
    from transfer_exp.experiment.observed import Observed
    from transfer_exp.experiment.plugin import build
    from transfer_exp.features.extraction import best_device
    from transfer_exp.report.html.notes import notes_of, write_notes
    from transfer_exp.report.record import write_record
    from transfer_exp.report.scatter import scatter
    from transfer_exp.store import Store

    _check_numbers(config)
    labels, protocol = labels_of(config)
    config.device = str(best_device(config.device))
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    groups = ("model_pool", "dataset", "perturbation", "metric", "ground_truth", "evaluation", "tracker")
    parts = {name: build(name, plain[name]) for name in groups}
    tracker = parts.pop("tracker")
    parts["pool"] = parts.pop("model_pool").only(plain["models"])
    store = Store(plain["store"])
    run = {name: plain[name] for name in ("device", "seed")}
    experiment = Experiment(**parts, **plain["features"], **run, store=store, protocol=protocol)
    observed = Observed()
    result = experiment.run(labels, observed)
    records = write_record(result, plain, folder)  # first: whatever follows may fail
    figure = scatter(result, folder / "scatter.png")
    tracked = tracker.record(result, plain, group, figure, folder)
    alone = group is None
    classes, most = experiment.dataset.class_names, _VIEWS[alone]
    notes = notes_of(result, _command(alone), observed.seconds, classes, observed.probes, experiment.perturbed, most)
    write_notes(notes, folder)
    _report(result, [*records, figure, *([_page(folder)] if alone else []), tracked], alone)


def score_grid(config: DictConfig, folder: Path, group: str | None) -> None:
    """Score a pool with every metric after every perturbation, and keep the rows.

    Raises
    ------
    InputError
        For bad input of any kind.
    """
    from transfer_exp.experiment.plugin import build
    from transfer_exp.experiment.score_grid import ScoreGrid
    from transfer_exp.features.extraction import best_device
    from transfer_exp.report.score_rows import keep_scores
    from transfer_exp.store import Store

    _check_numbers(config)
    _refuse_single_axes()
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    axes = {"metric": plain["metrics"] or options_of("metric"), "perturbation": plain["perturbations"]}
    built = {axis: {n: build(axis, named_option(axis, n, config.seed)) for n in names} for axis, names in axes.items()}
    grid = ScoreGrid(
        build("model_pool", plain["model_pool"]).only(plain["models"]),
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
    print(f"wrote {keep_scores(path, grid.run())} rows to {path}")


def fill_store(config: DictConfig, folder: Path, group: str | None) -> None:
    """Put features, accuracies, or what leads to these, into the store, and write what was found there.

    Raises
    ------
    InputError
        For bad input of any kind.
    """
    from transfer_exp.experiment.filling import Filling
    from transfer_exp.experiment.plugin import build
    from transfer_exp.features.extraction import best_device
    from transfer_exp.store import Store

    _check_numbers(config)
    config.device = str(best_device(config.device))
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    pool, dataset = build("model_pool", plain["model_pool"]).only(plain["models"]), build("dataset", plain["dataset"])
    store = Store(plain["store"])
    filling = Filling(pool, dataset, store, plain["device"], **plain["features"])
    if plain["stage"] == "features":
        found = filling.features(plain.get("splits", ["probe"]))
    else:
        labels, protocol = labels_of(config)
        names = {"pool": pool.name, "dataset": dataset.name, "regime": labels["ground_truth"]}
        names |= {"protocol": protocol, "seed": str(plain["seed"])}
        regime = build("ground_truth", plain["ground_truth"])
        if plain["stage"] == "grid":
            found = filling.grid_point(regime, names, plain["point"])
        else:
            found = filling.accuracies(regime, names)
    counts = [{"what": what, "was_there": there, "count": count} for (what, there), count in sorted(found.items())]
    write_status(folder, {"state": "done", "cell": name_of(config), "found": counts})


def plan(arguments: Sequence[str], conf: Path) -> None:
    """Print what the jobs of a command line will take, on this device and one after the other.

    Raises
    ------
    InputError
        For bad input of any kind.
    """
    from rich.console import Console

    from transfer_exp.experiment.command_line import CommandLine
    from transfer_exp.experiment.planning import Planner
    from transfer_exp.report.plan_table import show_plan

    planner = Planner(CommandLine(arguments, conf))
    show_plan(planner.work(), planner.pace, planner.left_out, Console(highlight=False))


def report_again(arguments: Sequence[str], conf: Path) -> None:
    """Show what there is so far of a sweep whose folder is given, as the sweep does at its end.

    Raises
    ------
    InputError
        When no folder is given.
    """
    from transfer_exp.report.__main__ import main

    key = "hydra.sweep.dir="
    folders = [argument.removeprefix(key) for argument in arguments if argument.startswith(key)]
    if not folders:
        raise InputError(f"stage=report needs to know which sweep: add {key}FOLDER")
    sys.exit(main([folders[-1]]))


def name_of(config: DictConfig) -> dict[str, str]:
    """Return what a job is called in tables, before anything of it is built."""
    choices = HydraConfig.get().runtime.choices
    name = {group: str(choices[group]) for group in ("model_pool", "dataset")}
    if config.models is not None:
        name["models"] = ", ".join(config.models)
    if config.stage in ("grid", "finetune"):
        name["ground_truth"] = labels_of(config)[0]["ground_truth"]
        name |= {"point": str(config.point)} if "point" in config else {}
    elif config.stage == "score" and "rows" not in config:
        name |= labels_of(config)[0]
    return {**name, "seed": str(config.seed)}


def write_status(folder: Path, status: Mapping[str, Any]) -> None:
    """Leave word of how a job ended."""
    (folder / "status.json").write_text(json.dumps(status, indent=1))


def _command(alone: bool) -> str:
    """Return what was typed; of one cell among many, what would make that one again."""
    return typed(sys.argv[1:] if alone else list(HydraConfig.get().overrides.task), os.environ)


def _page(folder: Path) -> Path:
    """Write the page of a run; in a sweep that is done for all cells at once."""
    from transfer_exp.report.html.writing import write_page

    return write_page(folder)


def _refuse_single_axes() -> None:
    """Refuse a metric or perturbation set as for a single cell: a grid has lists of them, and would ignore it."""
    for axis in ("metric", "perturbation"):
        for override in HydraConfig.get().overrides.task:
            if override.startswith((f"{axis}=", f"{axis}.")):
                raise InputError(f"{override} means nothing to a grid: set '{axis}s=[NAME, NAME(KEY=VALUE), ...]'")


def _report(result: CellResult, written: list[Path | str | None], alone: bool) -> None:
    """Print the ranking and where everything is; of one cell among many only the verdict."""
    from rich.console import Console

    from transfer_exp.report.ranking_table import headline, ranking_table

    console = Console(highlight=False)
    if not alone:
        console.print(f"    {headline(result) or 'ranked'}")
        return
    console.print(ranking_table(result))
    for place in written:
        if place is not None:
            console.print(f"  {from_here(place)}", style="dim", soft_wrap=True)


def _check_numbers(config: DictConfig) -> None:
    """Refuse settings of the run itself that are not whole numbers, or too small; parts check their own."""
    for key, least in _LEAST.items():
        value = OmegaConf.select(config, key)
        if type(value) is not int or value < least:
            raise InputError(f"{key}={value}: need a whole number, at least {least}")


def labels_of(config: DictConfig) -> tuple[dict[str, str], str]:
    """Name the parts of this cell as the user chose them, and the protocol, empty where the regime has none.

    A protocol other than the default shows in the name of the regime.
    """
    labels = {group: _label(group) for group in _LABELLED}
    protocol = _label("protocol") if "protocol" in config.ground_truth else ""
    if protocol not in ("", "quick"):
        labels["ground_truth"] += f"/{protocol}"
    return labels, protocol


def _label(group: str) -> str:
    """Name what was chosen of a group, with any hyperparameters set by hand."""
    run = HydraConfig.get()
    prefix = f"{group}."
    changed = [o.removeprefix(prefix) for o in run.overrides.task if o.startswith(prefix)]
    choice = str(run.runtime.choices[group])
    return f"{choice}({', '.join(sorted(changed))})" if changed else choice
