"""Full fine-tuning: all parameters are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from transfer_exp.ground_truth.fine_tune import FineTuning
from transfer_exp.ground_truth.network import Images, TrainedPart
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.loaded_model import LoadedModel


@dataclass(frozen=True)
class FullFineTuning(FineTuning):
    """Measure test accuracy after training all parameters and a new head; see `FineTuning` for the attributes."""

    option: ClassVar[str] = "full"

    protocol: Protocol
    seed: int = 0
    device: str = "cpu"

    def select_part(self, model: LoadedModel, backbone: Backbone, image: Images) -> TrainedPart:
        """Return the whole backbone as the part to train; `FineTuning` adds the head."""
        return TrainedPart(backbone)
