"""Fine-tuning of the last block: what comes before it keeps its weights and its batch-norm statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from transfer_exp.ground_truth.block_definitions import freeze, last_block
from transfer_exp.ground_truth.fine_tuning import FineTuning
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.ground_truth.regime import Accuracy, Pairing
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.pool import LoadedModel
from transfer_exp.types import Track


@dataclass(frozen=True)
class LastBlockFineTuning:
    """Test accuracy after training the last block of each family and a new head.

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

        def adapt(model: LoadedModel, backbone: Backbone) -> nn.Module:
            return freeze(backbone, last_block(model, self.definitions))

        return FineTuning(self.protocol, self.seed, self.device, pairing, adapt)("last_block", track)
