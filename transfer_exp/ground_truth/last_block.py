"""Fine-tuning of the last block: what comes before it keeps its weights and its batch-norm statistics."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from transfer_exp.errors import NotApplicableError
from transfer_exp.ground_truth.block_definitions import last_block
from transfer_exp.ground_truth.fine_tuning import FineTuning, passes
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.ground_truth.regime import Accuracy, Pairing, Split
from transfer_exp.ground_truth.split_network import split_at
from transfer_exp.ground_truth.trained_part import Images, OnActivations, OnImages, TrainedPart
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.pool import LoadedModel
from transfer_exp.progress import Track

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LastBlockFineTuning:
    """Test accuracy after training the last block of each family and a new head.

    Without augmentation, what comes before the block is run once for each image and its activations are kept.

    Attributes
    ----------
    protocol, seed, device
        As `FullFineTuning`.
    definitions
        A YAML file that says what the last block of further families is, see `last_block`; None for those known here.
    """

    trains: ClassVar[bool] = True

    protocol: Protocol
    seed: int = 0
    device: str = "cpu"
    definitions: str | None = None

    def __call__(self, pairing: Pairing, track: Track) -> Accuracy:
        """Return test accuracy after training on train and validation with the best point of the grid.

        Raises
        ------
        InputError, NotApplicableError
            As `FineTuning` and `last_block`.
        """
        return FineTuning(self.protocol, self.seed, self.device, pairing, self._part)("last_block", track)

    @property
    def n_points(self) -> int:
        """As `HasGrid`."""
        return len(self.protocol.grid())

    def train_point(self, pairing: Pairing, point: int, track: Track) -> bool:
        """As `HasGrid`."""
        return FineTuning(self.protocol, self.seed, self.device, pairing, self._part).reach("last_block", point, track)

    def forward_passes(self, split_sizes: Mapping[Split, int]) -> int:
        """As `CountsPasses`; those of full fine-tuning, which are more."""
        return passes(self.protocol, split_sizes)

    def _part(self, model: LoadedModel, backbone: Backbone, images: Images) -> TrainedPart:
        """Return the last block on stored activations, or on images where they differ at every step."""
        block = last_block(model, self.definitions)
        if self.protocol.augmentation == "none" and self.protocol.mixup == 0:
            try:
                return OnActivations(*split_at(backbone, block, images), block)
            except NotApplicableError as reason:
                _log.info("%s: training through the whole network, which takes longer", reason)
        return OnImages(backbone, block)
