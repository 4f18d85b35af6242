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

# Other modules are imported when a job runs: help and typing errors must not wait for torch.

_OPTION = re.compile(r"(?P<name>\w+)(?:\((?P<changes>[^()]*)\))?")


def score_matrix(config: DictConfig, folder: Path, sweep: str | None) -> Outcome:
    """Score a pool with every metric after every perturbation, and merge the rows into a CSV; a `main.Job`."""
    _refuse_single_options(HydraConfig.get().overrides.task)
    plain = to_plain(config)
    names = plain["metrics"] or GlobalHydra.instance().config_loader().get_group_options("metric")
    metrics = _build_options("metric", names, config.seed)
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


def compose_option(group: str, text: str, seed: int) -> dict[str, Any]:
    """Return the config of an option of a config group.

    Args:
        group: Config group, such as ``perturbation``.
        text: Label of the option as in tables of results, ``pca`` or ``pca(dim=32)``.
        seed: Seed of the run, which some options use.

    Raises:
        InputError: When the text is not of this form, there is no such option, or it has no such hyperparameter.
    """
    name, changes = split_option(group, text)
    path = CONF / group / f"{name}.yaml"
    if not changes and path.is_file():  # Hydra would also compose all other settings, in a tenth of a second.
        return to_plain(OmegaConf.create({group: OmegaConf.load(path), "seed": seed}))[group]
    # In quotes, because an option is a name even where it reads like a number or a truth value.
    overrides = [f"{group}='{name}'", f"seed={seed}", *(f"{group}.{change}" for change in changes)]
    return compose_group(group, overrides)


def split_option(group: str, text: str) -> tuple[str, list[str]]:
    """Return the name of an option and its changes ``KEY=VALUE`` from a text such as ``pca(dim=32)``.

    Raises:
        InputError: When the text is not of this form.
    """
    match = _OPTION.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{group} '{text}' is not an option: write NAME or NAME(KEY=VALUE, ...)")
    return match["name"], [change.strip() for change in (match["changes"] or "").split(",") if change.strip()]


def _build_options(group: str, names: Sequence[str], seed: int) -> dict[str, Any]:
    from transfer_exp.cli.instantiate import build

    built = {name: build(group, compose_option(group, name, seed)) for name in names}
    for name, option in built.items():
        if group == "perturbation" and not callable(option):
            raise InputError(
                f"perturbations={name} averages scores over several strengths, which a score matrix cannot: "
                "list the strengths, such as 'attract(alpha=0.1)', or run single cells with perturbation=path"
            )
    return built


def _refuse_single_options(overrides: Sequence[str]) -> None:
    """Refuse a metric, perturbation or number of shots set as for a single cell: a score matrix has lists of them."""
    for override in overrides:
        if override.startswith("shots="):
            raise InputError(f"{override} has no effect on a score matrix: set 'images_per_class=[5,10]'")
    for group in ("metric", "perturbation"):
        for override in overrides:
            if override.startswith((f"{group}=", f"{group}.")):
                fix = f"set '{group}s=[NAME, NAME(KEY=VALUE), ...]'"
                raise InputError(f"{override} has no effect on a score matrix: {fix}")
