"""No ground truth: models are ranked, and the ranking is not compared with accuracies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from transfer_exp.progress import Track

if TYPE_CHECKING:
    from transfer_exp.features.model_on_target import Pairing  # imports torch


@dataclass(frozen=True)
class NoGroundTruth:
    """Regime without accuracies."""

    trains: ClassVar[bool] = False

    def __call__(self, pairing: Pairing, track: Track) -> None:
        """Return None."""
