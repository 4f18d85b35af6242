"""The pool of a dataset that holds features instead of images: one candidate per npz file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer_exp.errors import InputError
from transfer_exp.model_pool.pool import Candidate, LoadedModel, ModelPool, chosen_names


def arrays(root: str | None, names: Sequence[str] | None = None) -> ModelPool:
    """Return one candidate per npz file of a folder (or of the one file), named by its stem.

    Raises
    ------
    InputError
        When there is no such file or folder, or an unknown name; on loading, as there is no network to load.
    """
    if root is None:
        raise InputError("model_pool=arrays goes with dataset=arrays: set both")
    path = Path(root).expanduser()
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    chosen = chosen_names(names, [file.stem for file in files], str(path))
    return ModelPool("arrays", tuple(Candidate(name, _no_network) for name in chosen))


def _no_network() -> LoadedModel:
    raise InputError("model_pool=arrays names features, not networks: it goes with dataset=arrays only")
