"""Where each model stands within its pool: one part of a pool-relative metric, scaled to [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError
from transfer_exp.statistics.rounding import RESOLUTION


def pool_range(parts: Sequence[Mapping[str, float]], name: str) -> Float[np.ndarray, " models"]:
    """Return (v - min) / (max - min) of part ``name`` over the models of a pool, (M,), in [0, 1].

    A part on which all models agree, but for rounding, tells none from another: it is 0 for all of them.

    Raises
    ------
    InputError
        When a model lacks the part, or its value is not finite.
    """
    values = np.array([part.get(name, np.nan) for part in parts], dtype=np.float64)
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(f"model {bad} of the pool has no finite {name}: leave it out of the pool")
    # Halves, so that the difference of two huge values of opposite sign cannot overflow.
    width = values.max(initial=-np.inf) / 2 - values.min(initial=np.inf) / 2
    if len(values) == 0 or width <= RESOLUTION * np.abs(values).max():
        return np.zeros(len(values))
    return np.clip((values / 2 - values.min() / 2) / width, 0.0, 1.0)
