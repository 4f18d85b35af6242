"""Training in progress: what a run needs to go on exactly where it was stopped."""

from __future__ import annotations

import pickle
import time
from dataclasses import dataclass, field
from typing import Any

import torch

from transfer_exp.errors import InputError
from transfer_exp.store import Backend

State = dict[str, Any]
"""Tensors, numbers, strings, and lists and dictionaries of these."""


@dataclass(eq=False)
class Checkpoint:
    """The newest state of one training run, in a file that survives the process, or in memory.

    Attributes
    ----------
    place
        Where the file is; None keeps the state in memory.
    name
        Of the file there.
    every
        Seconds from one write that training makes by itself to the next.
    """

    place: Backend | None
    name: str
    every: float = 30.0
    _kept: State | None = field(default=None, repr=False)
    _written: float = field(default_factory=time.monotonic, repr=False)

    def read(self) -> State:
        """Return the state that was written last; an empty one when there is none, or none that can be read."""
        if self.place is None:
            return self._kept or {}
        try:
            with self.place.reading(self.name) as path:
                state: State = torch.load(path, map_location="cpu", weights_only=True)
        except InputError:
            raise  # of the place, not of the file
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError, KeyError):
            return {}  # absent, or cut off by something worse than a kill: the run starts from its beginning
        return state

    def write(self, state: State) -> None:
        """Replace the state in one step, so that a kill leaves the old one or the new one."""
        if self.place is None:
            self._kept = state
        else:
            self.place.write(self.name, lambda path: torch.save(state, path))
        self._written = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether a run in full swing should write now."""
        return self.place is not None and time.monotonic() - self._written >= self.every
