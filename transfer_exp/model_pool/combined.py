"""Several pools as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from transfer_exp.errors import InputError
from transfer_exp.model_pool.pool import ModelPool


def joined(pools: Sequence[ModelPool], name: str, names: Sequence[str] | None = None) -> ModelPool:
    """Return a pool of the candidates of others, in their order.

    Parameters
    ----------
    pools
        No two with a model of the same name.
    name
        The pool's name in tables.
    names
        Which of the models, or all.

    Raises
    ------
    InputError
        For a name that two models have, or none.
    """
    candidates = tuple(candidate for pool in pools for candidate in pool.candidates)
    counts = Counter(candidate.name for candidate in candidates)
    for model, count in counts.items():
        if count > 1:
            raise InputError(f"{count} models of {name} are called '{model}': give them names of their own")
    return ModelPool(name, candidates).only(names)
