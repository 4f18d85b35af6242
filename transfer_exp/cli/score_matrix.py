"""The job of ``transfer-exp run -cn score_matrix``: scores of every metric after every perturbation on one dataset."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from transfer_exp.cli.job_labels import compose_group, to_plain
from transfer_exp.cli.option_files import CONF
from transfer_exp.cli.output import Outcome
from transfer_exp.cli.run import build_parts
from transfer_exp.errors import InputError
from transfer_exp.io.atomic import resolve_target
from transfer_exp.io.text import expand_user

# Other modules are imported when a job runs: the help and the answers to wrong arguments must not wait for torch.

_LABEL = re.compile(r"(?P<name>\w+)(?:\((?P<changes>[^()]*)\))?")
_COMMA = re.compile(r",(?![^\[{]*[\]}])")
"""Comma that is not inside a list or mapping."""


def score_matrix(config: DictConfig, folder: Path, sweep: str | None) -> Outcome:
    """Score a pool with every metric after every perturbation, and merge the rows into the CSV ``config.rows``.

    This is a `main.Job`. It does not use ``folder`` and ``sweep``, because all jobs of a sweep share the CSV.
    """
    _refuse_single_options(HydraConfig.get().overrides.task)
    plain = to_plain(config)
    labels = plain["metrics"] or GlobalHydra.instance().config_loader().get_group_options("metric")
    metrics = _build_options("metric", labels, config.seed)
    perturbations = _build_options("perturbation", plain["perturbations"], config.seed)
    path = expand_user(plain["rows"])
    resolve_target(path)  # raises before any work if the rows cannot be written there
    _, settings, parts = build_parts(config, ("dataset", "model_pool", "ground_truth"))

    from transfer_exp.evaluation.score_files import update_scores
    from transfer_exp.experiment.score_matrix import ScoreMatrix

    matrix = ScoreMatrix(
        **parts,
        **settings,
        metrics=metrics,
        perturbations=perturbations,
        images_per_class=tuple(plain["images_per_class"]),
        splits=tuple(plain["splits"]),
    )
    return Outcome(headline=f"wrote {update_scores(path, matrix.run())} rows to {path}")


def compose_option(group: str, label: str, seed: int) -> dict[str, Any]:
    """Return the config of an option of a config group.

    Args:
        group: Config group, such as ``perturbation``.
        label: Label of the option, see `split_label`.
        seed: Seed of the run, which some options use.

    Raises:
        InputError: If the label has another form, there is no such option, or it has no such hyperparameter.
    """
    name, changes = split_label(group, label)
    path = CONF / group / f"{name}.yaml"
    if not changes and path.is_file():  # Hydra would take a tenth of a second, because it composes all settings.
        return to_plain(OmegaConf.create({group: OmegaConf.load(path), "seed": seed}))[group]
    # In quotes, because an option is a name even where it reads like a number or a truth value.
    overrides = [f"{group}='{name}'", f"seed={seed}", *(f"{group}.{change}" for change in changes)]
    return compose_group(group, overrides)


def split_label(group: str, label: str) -> tuple[str, list[str]]:
    """Return the option and its hyperparameters ``KEY=VALUE`` from a label as in tables of results.

    Labels are ``pca`` or ``pca(dim=32)``. A value may be a list or mapping, but not a text with a comma.

    Raises:
        InputError: If the label has another form.
    """
    match = _LABEL.fullmatch(label.strip())
    changes = [change.strip() for change in _COMMA.split(match["changes"] or "") if change.strip()] if match else []
    if match is None or not all("=" in change for change in changes):
        raise InputError(f"{group} '{label}' is not an option: write NAME or NAME(KEY=VALUE, ...)")
    return match["name"], changes


def _build_options(group: str, labels: Sequence[str], seed: int) -> dict[str, Any]:
    """Return the object of each option by its label; InputError for a perturbation with several strengths."""
    from transfer_exp.cli.instantiate import build
    from transfer_exp.perturbation.strength_path import StrengthPath

    built = {label: build(group, compose_option(group, label, seed)) for label in labels}
    for label, option in built.items():
        if isinstance(option, StrengthPath):
            raise InputError(
                f"perturbations={label} averages scores over several strengths, which a score matrix cannot: "
                "list the strengths, such as 'attract(alpha=0.1)', or run single cells with perturbation=path"
            )
    return built


def _refuse_single_options(overrides: Sequence[str]) -> None:
    """Refuse a single metric, perturbation or number of shots, because a score matrix has a list of each."""
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0].partition(".")[0]
        if key == "shots":
            raise InputError(f"{override} has no effect on a score matrix: set 'images_per_class=[5,10]'")
        if key in ("metric", "perturbation"):
            fix = f"set '{key}s=[NAME, NAME(KEY=VALUE), ...]'"
            raise InputError(f"{override} has no effect on a score matrix: {fix}")
