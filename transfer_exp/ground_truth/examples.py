"""What a network is trained on or measured with: inputs and targets by position, and parts of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from transfer_exp.ground_truth.training import Batch, BatchAt


@dataclass(frozen=True, eq=False)
class Examples:
    """N inputs with their targets.

    Attributes
    ----------
    batch_at
        Gives inputs and targets at some positions, see `Training`.
    labels
        (N,), classes.
    targets
        (N, C) zeros and ones where an image may show several classes, else None.
    """

    batch_at: BatchAt
    labels: Int[np.ndarray, " samples"]
    targets: Int[np.ndarray, "samples classes"] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, chosen: Int[np.ndarray, " chosen"]) -> Examples:
        """Return the examples at some positions, in that order; nothing is computed for it."""
        places = torch.from_numpy(np.asarray(chosen, dtype=np.int64))

        def batch_at(positions: Int[Tensor, " batch"]) -> Batch:
            return self.batch_at(places[positions])

        return Examples(batch_at, self.labels[chosen], None if self.targets is None else self.targets[chosen])
