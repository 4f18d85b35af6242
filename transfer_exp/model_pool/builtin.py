"""The pool that ships with the package: small networks trained by this project on procedural tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transfer_exp.model_pool.checkpoints import checkpoints
from transfer_exp.model_pool.pool import ModelPool

_WEIGHTS = Path(__file__).parent / "weights"


def builtin(names: Sequence[str] | None = None) -> ModelPool:
    """Return the built-in pool or a part of it; ``weights/MODEL_CARD.md`` describes the networks.

    Raises:
        InputError: If a name is unknown; the message has near matches.
    """
    return checkpoints(str(_WEIGHTS), names, name="builtin")
