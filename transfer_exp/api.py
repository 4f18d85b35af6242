"""The Python interface: `rank` does in one call what ``transfer-exp rank`` does."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_exp.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

# Other modules are imported in the call: `import transfer_exp` must not wait for torch.


def rank(
    target: str | Path | Mapping[str, ArrayLike] | ArrayLike,
    labels: Sequence[Any] | ArrayLike | None = None,
    *,
    pool: str | None = None,
    budget: str | None = "10m",
    settings: Sequence[str] = (),
) -> pd.DataFrame:
    """Rank pretrained models for a target dataset, best first.

    Args:
        target: Either the path of a dataset: a folder of images by class, a CSV with columns file and label, npz files,
            or the id of a dataset on the Hugging Face hub. Or features of shape (N, D): of each model by its name, or
            of a single model.
        labels: Class of each sample (N,), as integers or strings. Required with features, not allowed with a path.
        pool: Option of the config group ``model_pool``, by default ``everyday``. Not allowed with features.
        budget: Time limit for the forward passes, such as ``"90s"``, ``"10m"`` or ``"2h"``; None for no limit.
        settings: Other settings, written as on the command line: ``["metric=sfda", "halving.top=5"]``.

    Returns:
        One row for each model, best first, with the fields of `SearchedModel` as columns. Among them are ``model``,
        ``rank`` (from 1) and ``score``.

    Raises:
        InputError: When an argument, a setting or a file cannot be used.

    Examples:
        Features of two models on a dataset of two classes. The classes are further apart in the second model:

        >>> import numpy as np
        >>> from transfer_exp import rank
        >>> rng, labels = np.random.default_rng(0), np.repeat(["cat", "dog"], 40)
        >>> noise = rng.normal(size=(80, 6))
        >>> features = {"weak": noise, "strong": noise + 3 * (labels == "dog")[:, None]}
        >>> frame = rank(features, labels)
        >>> list(frame["model"])
        ['strong', 'weak']

        A folder of images with one folder for each class, and the models of the built-in pool:

        >>> frame = rank("photos", pool="builtin", budget="5m")  # doctest: +SKIP
    """
    if isinstance(target, str | Path):
        if labels is not None:
            raise InputError("labels are for features: a path already has labels, leave them out")
        return _search(str(target), pool, budget, settings)
    if labels is None:
        raise InputError("features need labels: rank(features, labels)")
    if pool is not None:
        raise InputError(f"pool={pool!r} is for images, and features need no models: leave it out")
    with tempfile.TemporaryDirectory() as folder:
        _write_arrays(target, labels, Path(folder))
        return _search(folder, None, budget, settings)


def _search(target: str, pool: str | None, budget: str | None, settings: Sequence[str]) -> pd.DataFrame:
    """Compose the config of the command, and run its search without writing files."""
    from omegaconf import open_dict

    from transfer_exp.cli.instantiate import read_trust
    from transfer_exp.cli.job_labels import cell_labels
    from transfer_exp.cli.overrides import CommandLine
    from transfer_exp.cli.rank import rank_overrides, run_search
    from transfer_exp.cli.redact import forbid_secrets_in_configs
    from transfer_exp.report.record import search_frame

    read_trust()
    forbid_secrets_in_configs()
    arguments = [target, "--budget", budget or "none", *(["--pool", pool] if pool else []), *settings]
    config = CommandLine(rank_overrides(arguments)).compose([], return_hydra_config=True)
    hydra_config = config.hydra
    with open_dict(config):
        del config["hydra"]
    labels, _ = cell_labels(config, hydra_config)
    result, _, _ = run_search(config, labels, log=print)
    return search_frame(result)


def _write_arrays(target: Any, labels: Any, folder: Path) -> None:
    """Write features as the files that the command reads."""
    import numpy as np

    models = target if isinstance(target, Mapping) else {"features": target}
    for name, features in models.items():
        if not name or Path(name).name != name:
            raise InputError(f"model name {name!r} cannot be the name of a file: rename it")
        np.savez(folder / f"{name}.npz", features=np.asarray(features), labels=np.asarray(labels))
