"""Training in progress: what a run needs to go on exactly where it was stopped."""

from __future__ import annotations

import pickle
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from transfer_exp.store import write_atomically

State = dict[str, Any]
"""Tensors, numbers, strings, and lists and dictionaries of these."""


@dataclass(eq=False)
class Checkpoint:
    """The newest state of one training run, in a file that survives the process, or in memory.

    Attributes
    ----------
    path
        The file; None keeps the state in memory.
    every
        Seconds from one write that training makes by itself to the next.
    """

    path: Path | None
    every: float = 30.0
    _kept: State | None = field(default=None, repr=False)
    _written: float = field(default_factory=time.monotonic, repr=False)

    def read(self) -> State:
        """Return the state that was written last; an empty one when there is none, or none that can be read."""
        if self.path is None:
            return self._kept or {}
        try:
            state: State = torch.load(self.path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError, KeyError):
            return {}  # absent, or cut off by something worse than a kill: the run starts from its beginning
        return state

    def write(self, state: State) -> None:
        """Replace the state in one step, so that a kill leaves the old one or the new one."""
        if self.path is None:
            self._kept = state
        else:
            write_atomically(self.path, lambda temporary: torch.save(state, temporary))
        self._written = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether a run in full swing should write now."""
        return self.path is not None and time.monotonic() - self._written >= self.every
