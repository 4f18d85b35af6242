"""Split the command line of a sweep into the jobs of one stage: one job for each model, and only relevant axes.

A stage is a step of a sweep that can run separately: ``features`` extracts features, ``grid`` trains points of a
hyperparameter grid, ``finetune`` computes accuracies, and ``score`` scores. An axis is a setting with several values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from transfer_exp.cli.instantiate import build, with_settings
from transfer_exp.cli.job_labels import to_plain
from transfer_exp.cli.overrides import CommandLine
from transfer_exp.errors import InputError

_SCORING = ("perturbation", "perturbations", "metric", "metrics", "images_per_class", "evaluation", "tracker")
_TRAINING = (*_SCORING, "shots")
_IRRELEVANT = {"features": (*_SCORING, "ground_truth", "protocol"), "grid": _TRAINING, "finetune": _TRAINING}
"""Settings that make no difference to a stage, by stage."""
_NOT_A_RUN = ("-c", "--cfg", "-h", "--help", "--info", "hydra.mode=RUN")
MULTIRUN = ("-m", "--multirun", "hydra.mode=MULTIRUN")


def split_by_model(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of the multirun that does a stage with one job for each model.

    The arguments are unchanged if the stage is a single job, as scoring is, or nothing is run.

    Raises:
        InputError: When several pools are given, a model is unknown, or ``stage=grid`` has a regime without a grid.
    """
    line = CommandLine(arguments)
    if line.stage not in _IRRELEVANT or any(argument in _NOT_A_RUN for argument in arguments):
        return list(arguments)
    if "model_pool" in line.axis_keys.values():
        raise InputError(f"stage={line.stage} takes one model_pool at a time: run the command once for each")
    overrides = [o for o in line.overrides if not is_irrelevant(line.axis_keys.get(o, ""), line.stage)]
    removed = [f"~hydra.sweeper.params.{axis}" for axis in line.file_axes if is_irrelevant(axis, line.stage)]
    added: list[str] = []
    if "models" not in line.axis_keys.values():
        overrides = [o for o in overrides if not o.startswith("models=")]
        config = line.compose([])
        pool = build("model_pool", to_plain(config.model_pool)).select(config.models)
        # In quotes, because names on a hub hold characters that mean something to Hydra.
        added.append("models=" + ",".join(f'["{candidate.name}"]' for candidate in pool.candidates))
    if line.stage == "grid" and not any(override.startswith("+point=") for override in overrides):
        added.append(f"+point=range({_grid_size(line)})")
    mode = [] if any(argument in MULTIRUN for argument in arguments) else ["hydra.mode=MULTIRUN"]
    return [*line.flags, *overrides, *mode, *removed, *added]


def read_datasets(line: CommandLine) -> dict[str, Any]:
    """Return the datasets of a command line that can be read, by `options_key` of their options.

    Raises:
        InputError: When none can be read.
    """
    datasets, reasons = dict[str, Any](), list[InputError]()
    for point in line.points(lambda axis: axis.partition(".")[0] == "dataset"):
        config = to_plain(line.compose(point))
        options = config["dataset"]
        try:
            dataset = build("dataset", options)
            with_settings(dataset, config)  # refuses them before torch is imported
            datasets[options_key(options)] = dataset
        except InputError as error:
            reasons.append(error)
    if not datasets:
        more = f" ({len(reasons) - 1} more left out)" if len(reasons) > 1 else ""
        raise InputError(f"there is nothing to plan{more}: {reasons[0]}")
    return datasets


def options_key(options: Mapping[str, Any]) -> str:
    """Return a text that is equal for equal options of a config group."""
    return json.dumps(options, sort_keys=True, default=str)


def is_irrelevant(axis: str, stage: str) -> bool:
    """Return whether an axis, such as ``metric`` or ``perturbation.dim``, makes no difference to a stage."""
    return axis.partition(".")[0] in _IRRELEVANT.get(stage, ())


def _grid_size(line: CommandLine) -> int:
    """Return the number of points of the largest grid on the axes of the sweep."""
    from transfer_exp.ground_truth.regime import require_grid  # imports torch, which other stages do not need here

    points = line.points(lambda axis: axis.partition(".")[0] in ("ground_truth", "protocol"))
    regimes = (build("ground_truth", to_plain(line.compose(point).ground_truth)) for point in points)
    return max(require_grid(regime).n_points for regime in regimes)
