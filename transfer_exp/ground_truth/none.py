"""No ground truth: models are scored and ranked, and nothing is known to compare the ranking with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from transfer_exp.ground_truth.regime import Pairing
from transfer_exp.progress import Track


@dataclass(frozen=True)
class NoGroundTruth:
    """Gives None for every model."""

    trains: ClassVar[bool] = False

    def __call__(self, pairing: Pairing, track: Track) -> None:
        """Return None."""
