"""Candidates for ``dataset=arrays``, which holds features instead of images: one candidate per npz file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from transfer_exp.errors import InputError
from transfer_exp.io.npz import list_files
from transfer_exp.io.text import clean_name, expand_user
from transfer_exp.model_pool.pool import Candidate, ModelPool, select_names
from transfer_exp.statistics.feature_set import FeaturesInMemory

if TYPE_CHECKING:
    from transfer_exp.model_pool.loaded_model import LoadedModel


def arrays(root: str | FeaturesInMemory | None, names: Sequence[str] | None = None) -> ModelPool:
    """Return one candidate per npz file of a folder (or for one file), named after the file without its suffix.

    Arrays in memory have one candidate per model.

    Raises:
        InputError: If the file or folder or a name does not exist; always on loading.
    """
    if root is None:
        raise InputError("dataset=arrays and model_pool=arrays go together: set both or neither")
    if isinstance(root, FeaturesInMemory):
        available, origin = list(root.features), "the features"
    else:
        available = [clean_name(file.stem) for file in list_files(root)]
        origin = str(expand_user(root))
    selected = select_names(names, available, origin)
    return ModelPool("arrays", tuple(Candidate(name, _refuse_loading) for name in selected))


def _refuse_loading() -> LoadedModel:
    raise InputError("model_pool=arrays has features but no networks: use it with dataset=arrays only")
