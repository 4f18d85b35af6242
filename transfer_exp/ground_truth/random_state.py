"""The global generators that training draws from, as data that can be put away, stored and put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

RandomState = dict[str, Any]
"""States of torch's generators (CPU, and CUDA where there is one) and of NumPy's: tensors and numbers."""


def current_random_state() -> RandomState:
    """Return the state of the global generators."""
    _, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002 (timm's mixup draws from this one)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": {
            "keys": torch.from_numpy(np.asarray(keys).astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "gauss": float(gauss),
        },
    }


def seeded_random_state(seed: int) -> RandomState:
    """Return the state of generators freshly seeded, without touching the global ones."""
    with random_state(current_random_state()):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        return current_random_state()


@contextmanager
def random_state(state: RandomState) -> Iterator[None]:
    """Let the global generators start from ``state``, and give them back what they had afterwards."""
    outside = current_random_state()
    _set(state)
    try:
        yield
    finally:
        _set(outside)


def _set(state: RandomState) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    known = state["numpy"]
    keys = known["keys"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, known["position"], known["has_gauss"], known["gauss"]))  # noqa: NPY002
