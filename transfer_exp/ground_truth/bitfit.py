"""BitFit: only biases and norms are trained (Ben Zaken, Goldberg and Ravfogel, ACL 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from transfer_exp.errors import NotApplicableError
from transfer_exp.ground_truth.fine_tune import FEW_PARAMETERS_FACTOR, FineTuning
from transfer_exp.ground_truth.network import Images, TrainedPart, used_parameters
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.loaded_model import LoadedModel


@dataclass(frozen=True)
class BitFit(FineTuning):
    """Test accuracy after training the biases, the norms and a new head; see `FineTuning` for the attributes.

    A norm is trained with all its parameters, and a batch norm uses the statistics that the protocol says.

    References:
        Ben Zaken, Goldberg and Ravfogel, "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked
        Language-models", ACL 2022. Norms are trained too, as a convolution before a batch norm has no bias.
    """

    option: ClassVar[str] = "bitfit"

    protocol: Protocol
    learning_rate_factor: float = FEW_PARAMETERS_FACTOR
    seed: int = 0
    device: str = "cpu"

    def select_part(self, model: LoadedModel, backbone: Backbone, image: Images) -> TrainedPart:
        """Return the backbone with its norms and biases to train; NotApplicableError if it has neither."""
        trained = biases_and_norms(backbone, image)
        if not trained:
            raise NotApplicableError("ground_truth=bitfit trains biases and norms, and the network has neither")
        return TrainedPart(backbone, trained)


def biases_and_norms(backbone: nn.Module, image: Images) -> tuple[str, ...]:
    """Return the names of the norms, and of the biases outside norms, that the features of an image depend on."""
    names: dict[str, None] = {}
    for parameter in used_parameters(backbone, image):
        module, _, attribute = parameter.rpartition(".")
        if "norm" in type(backbone.get_submodule(module)).__name__.casefold():
            names[module] = None
        elif attribute.endswith("bias"):
            names[parameter] = None
    return tuple(names)
