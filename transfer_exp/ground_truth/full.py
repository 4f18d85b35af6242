"""Full fine-tuning: every parameter is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from transfer_exp.ground_truth.fine_tuning import FineTuning, passes
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.ground_truth.regime import Accuracy, Pairing, Split
from transfer_exp.ground_truth.trained_part import Images, OnImages, TrainedPart
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.pool import LoadedModel
from transfer_exp.progress import Track


@dataclass(frozen=True)
class FullFineTuning:
    """Test accuracy after training all parameters and a new head.

    Attributes
    ----------
    protocol
        How.
    seed
        Initialises the head, orders the batches, draws augmentation and the validation part.
    device
        ``cpu``, ``cuda``, ``mps``.
    """

    trains: ClassVar[bool] = True

    protocol: Protocol
    seed: int = 0
    device: str = "cpu"

    def __call__(self, pairing: Pairing, track: Track) -> Accuracy:
        """Return test accuracy after training on train and validation with the best point of the grid.

        Raises
        ------
        InputError, NotApplicableError
            As `FineTuning`.
        """
        return FineTuning(self.protocol, self.seed, self.device, pairing, _whole)("full", track)

    @property
    def n_points(self) -> int:
        """As `HasGrid`."""
        return len(self.protocol.grid())

    def train_point(self, pairing: Pairing, point: int, track: Track) -> bool:
        """As `HasGrid`."""
        return FineTuning(self.protocol, self.seed, self.device, pairing, _whole).reach("full", point, track)

    def forward_passes(self, split_sizes: Mapping[Split, int]) -> int:
        """As `CountsPasses`."""
        return passes(self.protocol, split_sizes)


def _whole(model: LoadedModel, backbone: Backbone, images: Images) -> TrainedPart:
    """Return all of the network, trained on images."""
    return OnImages(backbone)
