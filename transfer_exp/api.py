"""Ranking from Python: what ``transfer-exp rank`` does, in one call."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_exp.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

# Everything else is imported in the call: `import transfer_exp` must not wait for torch.


def rank(
    target: str | Path | Mapping[str, ArrayLike] | ArrayLike,
    labels: Sequence[Any] | ArrayLike | None = None,
    *,
    pool: str | None = None,
    budget: str | None = "10m",
    settings: Sequence[str] = (),
) -> pd.DataFrame:
    """Rank pretrained models for a target, best first.

    Parameters
    ----------
    target
        A path as ``transfer-exp rank`` takes it: images in folders by class, a CSV with columns file and label, npz
        files, or the id of a dataset of the Hugging Face hub. Or features one already has: (N, D) of each model by
        its name, or of one model.
    labels
        (N,), integers or strings, with features; None with a path.
    pool
        Option of the config group ``model_pool``; None is that of the command. Not with features.
    budget
        Time for pushing images through models: ``"90s"``, ``"10m"``, ``"2h"``; None is no bound.
    settings
        Anything else, as on the command line: ``["metric=sfda", "halving.top=5"]``.

    Returns
    -------
    DataFrame
        A row for each model with the fields of `SearchedModel` as columns.

    Raises
    ------
    InputError
        For bad input of any kind, as the command.

    Examples
    --------
    >>> from transfer_exp import rank
    >>> frame = rank("photos", budget="5m")  # doctest: +SKIP
    """
    if isinstance(target, str | Path):
        if labels is not None:
            raise InputError("labels go with features: a path has labels of its own")
        return _searched(str(target), pool, budget, settings)
    if labels is None:
        raise InputError("features need labels: rank(features, labels)")
    if pool is not None:
        raise InputError(f"pool={pool!r} has networks, and features need none: leave it out")
    with tempfile.TemporaryDirectory() as folder:
        _write_arrays(target, labels, Path(folder))
        return _searched(folder, None, budget, settings)


def _searched(target: str, pool: str | None, budget: str | None, settings: Sequence[str]) -> pd.DataFrame:
    """Compose the config that the command would, and do what its job does but for the printing."""
    from omegaconf import open_dict

    from transfer_exp.cli.job_labels import labels_of
    from transfer_exp.cli.overrides import CONF, CommandLine
    from transfer_exp.cli.rank import outcome_of
    from transfer_exp.cli.rank_arguments import overrides_of
    from transfer_exp.report.record import search_frame

    words = [target, "--budget", budget or "none", *(["--pool", pool] if pool else []), *settings]
    config = CommandLine(overrides_of(words), CONF).composed([], return_hydra_config=True)
    run = config.hydra
    with open_dict(config):
        del config["hydra"]
    labels, _ = labels_of(config, run)
    return search_frame(outcome_of(config, labels, say=print).found)


def _write_arrays(target: Any, labels: Any, folder: Path) -> None:
    """Write features as the files that the command reads."""
    import numpy as np

    models = target if isinstance(target, Mapping) else {"features": target}
    for name, features in models.items():
        if not name or Path(name).name != name:
            raise InputError(f"model name {name!r} cannot be the name of a file: rename it")
        np.savez(folder / f"{name}.npz", features=np.asarray(features), labels=np.asarray(labels))
