"""What a job is called, and how it leaves word."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from transfer_exp.cli.redact import typed
from transfer_exp.errors import InputError

_LABELLED = ("perturbation", "metric", "ground_truth")
_LEAST = {"seed": 0, "features.batch_size": 1, "features.workers": 0}


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


def command(alone: bool) -> str:
    """Return what was typed; of one cell among many, what would make that one again."""
    return typed(sys.argv[1:] if alone else list(HydraConfig.get().overrides.task), os.environ)


def check_numbers(config: DictConfig) -> None:
    """Refuse settings of the run itself that are not whole numbers, or too small; parts check their own."""
    for key, least in _LEAST.items():
        value = OmegaConf.select(config, key)
        if type(value) is not int or value < least:
            raise InputError(f"{key}={value}: need a whole number, at least {least}")


def labels_of(config: DictConfig, run: HydraConf | DictConfig | None = None) -> tuple[dict[str, str], str]:
    """Name the parts of this cell as the user chose them, and the protocol, empty where the regime has none.

    A protocol other than the default shows in the name of the regime. What was chosen is in Hydra's part of the config,
    that of the running job if none is given.
    """
    run = HydraConfig.get() if run is None else run
    labels = {group: _label(group, run) for group in _LABELLED}
    protocol = _label("protocol", run) if "protocol" in config.ground_truth else ""
    if protocol not in ("", "quick"):
        labels["ground_truth"] += f"/{protocol}"
    return labels, protocol


def _label(group: str, run: HydraConf | DictConfig) -> str:
    """Name what was chosen of a group, with any hyperparameters set by hand."""
    prefix = f"{group}."
    changed = [o.removeprefix(prefix) for o in run.overrides.task if o.startswith(prefix)]
    choice = str(run.runtime.choices[group])
    return f"{choice}({', '.join(sorted(changed))})" if changed else choice
