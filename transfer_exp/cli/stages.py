"""A sweep's command line as the jobs of one stage: only the axes that the stage knows, and one job for each model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from transfer_exp.cli.instantiate import build
from transfer_exp.cli.overrides import CommandLine
from transfer_exp.errors import InputError

_SCORED = ("perturbation", "perturbations", "metric", "metrics", "images_per_class", "evaluation", "tracker")
FOREIGN = {"features": (*_SCORED, "ground_truth", "protocol"), "grid": _SCORED, "finetune": _SCORED}
"""By stage that fills the store: config groups and lists that make no difference to it."""
_NOT_A_RUN = ("-c", "--cfg", "-h", "--help", "--info", "hydra.mode=RUN")
_MULTIRUN = ("-m", "--multirun", "hydra.mode=MULTIRUN")


def sharded(arguments: Sequence[str], conf: Path) -> list[str]:
    """Return the arguments for a multirun of the stage they ask for, or as they are where it is not of several jobs.

    Parameters
    ----------
    arguments
        Of the command line, without the program's name.
    conf
        Folder of the configs.

    Raises
    ------
    InputError
        When several pools are asked for at once, or as the pool.
    """
    line = CommandLine(arguments, conf)
    if line.stage not in FOREIGN or any(argument in _NOT_A_RUN for argument in arguments):
        return list(arguments)
    if "model_pool" in line.axes.values():
        raise InputError(f"stage={line.stage} takes one model_pool at a time: give them one after the other")
    own = [o for o in line.overrides if not is_foreign(line.axes.get(o, ""), line.stage)]
    dropped = [f"~hydra.sweeper.params.{axis}" for axis in line.axes_of_file if is_foreign(axis, line.stage)]
    shards: list[str] = []
    if "models" not in line.axes.values():
        own = [o for o in own if not o.startswith("models=")]
        shards = [f"models={','.join(_quoted(name) for name in _names(line.composed([])))}"]
    if line.stage == "grid" and not any(override.startswith("+point=") for override in own):
        shards.append(f"+point=range({_points(line)})")
    told = [] if any(argument in _MULTIRUN for argument in arguments) else ["hydra.mode=MULTIRUN"]
    return [*line.flags, *own, *told, *dropped, *shards]


def is_foreign(axis: str, stage: str) -> bool:
    """Tell whether an axis, such as ``metric`` or ``perturbation.dim``, makes no difference to a stage."""
    return axis.partition(".")[0] in FOREIGN.get(stage, ())


def _names(config: DictConfig) -> list[str]:
    """Return the models there is a job for."""
    return [candidate.name for candidate in _built("model_pool", config).select(config.models).candidates]


def _points(line: CommandLine) -> int:
    """Return how many points the largest grid has that is asked for."""
    from transfer_exp.ground_truth.regime import require_grid  # torch, which other stages are not to wait for here

    decide = ("ground_truth", "protocol")
    points = line.points(lambda axis: axis.partition(".")[0] in decide)
    return max(require_grid(_built("ground_truth", line.composed(point))).n_points for point in points)


def _built(group: str, config: DictConfig) -> Any:
    options: dict[str, Any] = OmegaConf.to_container(config[group], resolve=True)  # type: ignore[assignment]
    return build(group, options)


def _quoted(name: str) -> str:
    """Return a list of one name in Hydra's grammar, where names of hubs have characters of their own."""
    return f'["{name}"]'
