"""Model pool of features that were computed elsewhere, for ``dataset=arrays``; its candidates have no networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from transfer_exp.errors import InputError
from transfer_exp.io.npz import list_files
from transfer_exp.io.text import clean_name, expand_user
from transfer_exp.model_pool.pool import Candidate, ModelPool, select_names
from transfer_exp.statistics.feature_set import FeaturesInMemory


def arrays(root: str | FeaturesInMemory | None, names: Sequence[str] | None = None) -> ModelPool:
    """Return a pool with one candidate for each model that has features.

    Args:
        root: Folder of npz files, one per model and named after it, or one such file; or features in memory. None,
            which stands for a dataset of images, is refused.
        names: Names of the candidates to select; None for all.

    Raises:
        InputError: If ``root`` is None or does not exist, or a name is unknown; also when a candidate is loaded.
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


def _refuse_loading() -> NoReturn:
    raise InputError("model_pool=arrays has features but no networks: use it with dataset=arrays only")
