"""A sweep's command line as the jobs of one stage: only the axes that the stage knows, and one job for each model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from transfer_exp.experiment.plugin import build
from transfer_exp.types import InputError

_SCORED = ("perturbation", "perturbations", "metric", "metrics", "images_per_class", "evaluation", "tracker")
FOREIGN = {"features": (*_SCORED, "ground_truth", "protocol"), "finetune": _SCORED}
"""By stage that fills the store: config groups and lists that make no difference to it."""
_NOT_A_RUN = ("-c", "--cfg", "-h", "--help", "--info", "hydra.mode=RUN")


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
    stage = next((a.removeprefix("stage=") for a in reversed(arguments) if a.startswith("stage=")), "")
    if stage not in FOREIGN or any(argument in _NOT_A_RUN for argument in arguments):
        return list(arguments)
    flags, overrides = _apart(arguments)
    parsed = OverridesParser.create().parse_overrides(overrides)
    axes = {o.input_line: o.key_or_group for o in parsed if o.is_sweep_override() and o.key_or_group is not None}
    if "model_pool" in axes.values():
        raise InputError(f"stage={stage} takes one model_pool at a time: give them one after the other")
    fixed = [o for o in overrides if o not in axes and not o.lstrip("~+").startswith("hydra")]
    config = _composed(flags, fixed, conf)
    own = [o for o in overrides if o not in axes or not _foreign(axes[o], stage)]
    from_file = config.hydra.sweeper.get("params") or {}
    dropped = [f"~hydra.sweeper.params.{axis}" for axis in from_file if _foreign(str(axis), stage)]
    shards = [] if "models" in axes.values() else [f"models={','.join(_quoted(name) for name in _names(config))}"]
    own = [o for o in own if not (shards and o.startswith("models="))]
    told = [] if "hydra.mode=MULTIRUN" in own else ["hydra.mode=MULTIRUN"]
    return [*flags, *own, *told, *dropped, *shards]


def _apart(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the flags with their values, and the overrides."""
    flags: list[str] = []
    overrides: list[str] = []
    for before, argument in zip(("", *arguments), arguments, strict=False):
        value = before.startswith("-") and "=" not in before and before not in ("-m", "--multirun")
        (flags if argument.startswith("-") or value else overrides).append(argument)
    return flags, overrides


def _composed(flags: Sequence[str], overrides: Sequence[str], conf: Path) -> DictConfig:
    """Compose the config that the jobs have in common."""
    name = "config"
    for before, flag in zip(("", *flags), flags, strict=False):
        if before in ("-cn", "--config-name"):
            name = flag
        elif flag.startswith("--config-name="):
            name = flag.partition("=")[2]
    with hydra.initialize_config_dir(str(conf), version_base="1.3"):
        return hydra.compose(name, overrides=list(overrides), return_hydra_config=True)


def _foreign(axis: str, stage: str) -> bool:
    return axis.partition(".")[0] in FOREIGN[stage]


def _names(config: DictConfig) -> list[str]:
    """Return the models there is a job for."""
    options: dict[str, Any] = OmegaConf.to_container(config.model_pool, resolve=True)  # type: ignore[assignment]
    pool = build("model_pool", options)
    return [candidate.name for candidate in pool.only(config.models).candidates]


def _quoted(name: str) -> str:
    """Return a list of one name in Hydra's grammar, where names of hubs have characters of their own."""
    return f'["{name}"]'
