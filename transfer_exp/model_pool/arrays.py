"""Candidates for ``dataset=arrays``, which holds features instead of images: one candidate per npz file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer_exp.errors import InputError
from transfer_exp.model_pool.pool import Candidate, LoadedModel, ModelPool, select_names


def arrays(root: str | None, names: Sequence[str] | None = None) -> ModelPool:
    """Return one candidate per npz file of a folder (or for one file), named after the file without its suffix.

    Raises:
        InputError: If the file or folder or a name does not exist; always on loading.
    """
    if root is None:
        raise InputError("model_pool=arrays goes with dataset=arrays: set both")
    path = Path(root).expanduser()
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    selected = select_names(names, [file.stem for file in files], str(path))
    return ModelPool("arrays", tuple(Candidate(name, _refuse_loading) for name in selected))


def _refuse_loading() -> LoadedModel:
    raise InputError("model_pool=arrays has features but no networks: use it with dataset=arrays only")
