"""Full fine-tuning: all parameters are trained, from the start or after a linear probe."""

from __future__ import annotations

from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class LinearProbeThenFull(FullFineTuning):
    """Test accuracy after training all parameters from a head that a linear probe initialises.

    The attributes are those of `FullFineTuning`. The result is that of ``full`` with ``protocol.head=linear_probe``;
    the name keeps its rows apart from those of ``full`` with the protocol's own head.

    References:
        Kumar, Raghunathan, Jones, Ma and Liang, "Fine-Tuning can Distort Pretrained Features and Underperform
        Out-of-Distribution", ICLR 2022.
    """

    option: ClassVar[str] = "linear_probe_then_full"

    protocol: Protocol
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "protocol", replace(self.protocol, head="linear_probe"))
