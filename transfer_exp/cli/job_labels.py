"""Facts about a job: its labels in tables, its command line, its resolved settings, and its status file.

A job is one run of the application: alone, or as one of many in a sweep. Most jobs score a cell: a pool on one dataset
with one perturbation, metric, regime (how accuracies are measured, the config group ``ground_truth``) and seed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from transfer_exp.cli.hydra_errors import UNREADABLE_OPTIONS, explain
from transfer_exp.cli.instantiate import with_trust
from transfer_exp.cli.redact import redacted_command
from transfer_exp.errors import InputError, escape_all, redact_urls
from transfer_exp.io.atomic import write_text
from transfer_exp.results.folder import STATUS

_LABEL_GROUPS = ("perturbation", "metric", "ground_truth")
"""Config groups whose chosen option labels a cell, besides pool and dataset."""
_DEFAULT_PROTOCOL = "quick"
AXES = "callbacks.transfer_exp.axes"
"""Key below ``hydra`` under which a sweep tells its jobs which settings vary."""


def job_columns(config: DictConfig) -> dict[str, str]:
    """Return the fields that identify a job in tables, by column, without building any of its parts.

    They are the pool, the dataset and the chosen models, if any; for a job that trains, its regime and point of the
    grid; for a cell its labels; then the varied settings and the seed. A job that scores many cells (with ``rows``) has
    no labels of a cell.
    """
    choices = HydraConfig.get().runtime.choices
    columns = {group: str(choices[group]) for group in ("model_pool", "dataset")}
    if config.models is not None:
        columns["models"] = config.models if isinstance(config.models, str) else ", ".join(config.models)
    if config.stage in ("grid", "finetune"):
        columns["ground_truth"] = cell_labels(config)[0]["ground_truth"]
        columns |= {"point": str(config.point)} if "point" in config else {}
    elif config.stage == "score" and "rows" not in config:
        columns |= cell_labels(config)[0]
    return {**columns, **varied_settings(config), "seed": str(config.seed)}


def cell_labels(config: DictConfig, hydra_config: HydraConf | DictConfig | None = None) -> tuple[dict[str, str], str]:
    """Return the labels of a cell, and the label of ``protocol`` (how a regime trains), "" if it does not train.

    A label is the chosen option of a config group with the hyperparameters set by hand, for example ``pca(dim=32)``.
    The label of a regime includes a protocol other than the default.

    Args:
        config: Configuration of the cell.
        hydra_config: Hydra's part of the configuration; by default that of the running job.
    """
    hydra_config = HydraConfig.get() if hydra_config is None else hydra_config
    labels = {group: _label(group, hydra_config) for group in _LABEL_GROUPS}
    protocol = _label("protocol", hydra_config) if "protocol" in config.ground_truth else ""
    if protocol not in ("", _DEFAULT_PROTOCOL):
        labels["ground_truth"] += f"/{protocol}"
    return labels, protocol


def varied_settings(config: DictConfig) -> dict[str, str]:
    """Return the settings, with values, that a sweep varies and no label of a group shows (``features.layer``)."""
    hydra_config: Any = HydraConfig.get()
    labelled = ("seed", "model_pool", "dataset", *_LABEL_GROUPS)
    axes = OmegaConf.select(hydra_config, AXES) or ()
    unlabelled = [
        a for a in axes if a not in labelled and not a.startswith(tuple(f"{group}." for group in _LABEL_GROUPS))
    ]
    # The option of a config group, or the value of a setting.
    values = {axis: hydra_config.runtime.choices.get(axis) or OmegaConf.select(config, axis) for axis in unlabelled}
    texts = {a: ", ".join(map(str, v)) if isinstance(v, ListConfig) else str(v) for a, v in values.items()}
    return {axis: redact_urls(text) for axis, text in texts.items()}


def _label(group: str, hydra_config: HydraConf | DictConfig) -> str:
    prefix = f"{group}."
    overrides = [o.lstrip("+") for o in hydra_config.overrides.task]
    changed = [o.removeprefix(prefix) for o in overrides if o.startswith(prefix)]
    choice = str(hydra_config.runtime.choices[group])
    return f"{choice}({', '.join(sorted(changed))})" if changed else choice


def command_line(single_run: bool) -> str:
    """Return the command of a single run, or the one that repeats this job of a sweep alone; secrets are left out."""
    arguments = sys.argv[1:] if single_run else list(HydraConfig.get().overrides.task)
    return with_trust(redacted_command(arguments))


def resolve_settings(config: DictConfig) -> dict[str, Any]:
    """Return a config as plain data, with ``device=auto`` replaced by a device.

    ``config`` itself is unchanged, so a varied ``device=auto`` is still shown as ``auto``.

    Raises:
        InputError: If a device does not exist.
    """
    from transfer_exp.features.extraction import best_device  # imports torch

    config = deepcopy(config)
    config.device = str(best_device(config.device))
    if "device" in config.ground_truth:
        best_device(config.ground_truth.device)  # raises an error if the device does not exist
    return to_plain(config)


def to_plain(config: DictConfig) -> dict[str, Any]:
    """Return a config as dictionaries and lists, with all interpolations resolved; `InputError` where one cannot be."""
    try:
        return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise InputError(explain(error)) from error


def compose_group(group: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the settings of a config group of the application with some overrides; `InputError` for a wrong one."""
    try:
        return to_plain(hydra.compose("config", overrides=list(overrides))[group])
    except UNREADABLE_OPTIONS as error:
        raise InputError(explain(error)) from error


def write_status(folder: Path, status: Mapping[str, Any]) -> None:
    """Write the file that tells the report of a sweep how a job ended."""
    write_text(folder / STATUS, json.dumps(escape_all(status), indent=1))
