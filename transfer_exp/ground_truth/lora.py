"""LoRA: small trained matrices next to frozen weights (Hu et al., ICLR 2022), through the library peft."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from transfer_exp.errors import InputError, NotApplicableError, first_line, suggestion
from transfer_exp.ground_truth.fine_tune import FEW_PARAMETERS_FACTOR, FineTuning
from transfer_exp.ground_truth.network import Images, TrainedPart, running_modules
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.ground_truth.training import seeded_random_state, use_random_state
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.loaded_model import LoadedModel


@dataclass(frozen=True)
class LoraFineTuning(FineTuning):
    """Test accuracy after training a low-rank change of some layers, and a new head.

    Attributes:
        protocol, seed, device, learning_rate_factor: Attributes of `FineTuning`; the seed also draws the matrices.
        rank: Rank of the change of each layer.
        alpha: Scale of the change: it is multiplied by ``alpha / rank``.
        dropout: Dropout of the inputs of the change, in [0, 1).
        target_modules: Last parts of the names of the layers to change, such as ``qkv`` and ``mlp.fc1``. None changes
            all linear layers (the attention and MLP projections of a transformer) and all pointwise convolutions.

    Raises:
        InputError: When peft is not installed, or a value is out of range.

    References:
        Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang and Chen, "LoRA: Low-Rank Adaptation of Large Language Models",
        ICLR 2022.
    """

    option: ClassVar[str] = "lora"

    protocol: Protocol
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    target_modules: tuple[str, ...] | None = None
    learning_rate_factor: float = FEW_PARAMETERS_FACTOR
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        if importlib.util.find_spec("peft") is None:
            raise InputError("ground_truth=lora needs: pip install 'transfer-exp[lora]'")

    def select_part(self, model: LoadedModel, backbone: Backbone, image: Images) -> TrainedPart:
        """Return the backbone with low-rank matrices to train.

        Raises:
            NotApplicableError: When the network lacks such layers, or peft cannot change one of them.
        """
        layers = find_layers(backbone, image, self.target_modules)
        peft = importlib.import_module("peft")  # takes seconds
        config = peft.LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=list(layers)
        )
        try:
            with use_random_state(seeded_random_state(self.seed)):
                peft.inject_adapter_in_model(config, backbone)
        except Exception as error:  # peft raises different types for layers that it cannot change
            raise NotApplicableError(f"LoRA cannot change this network: {first_line(error)}") from error
        parts = ("lora_A", "lora_B", "lora_dropout")
        return TrainedPart(backbone, tuple(f"{layer}.{part}" for layer in layers for part in parts))


def find_layers(backbone: nn.Module, image: Images, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the names of the layers of a backbone to change, in forward order.

    Layers that do not run as modules are left out: a cut-off classifier, and weights that the network reads itself.

    Args:
        backbone: Network in evaluation mode.
        image: An image (1, 3, H, W).
        names: Last parts of the names of linear layers or convolutions; None for all linear layers and pointwise
            convolutions.

    Raises:
        NotApplicableError: When there is no such layer, or none that one of the names ends.
    """
    modules = dict(backbone.named_modules())
    layers = [n for n in running_modules(backbone, image) if isinstance(modules[n], nn.Linear | nn.Conv2d)]
    if names is None:
        chosen = tuple(name for name in layers if _is_linear(modules[name]))
        if not chosen:
            raise NotApplicableError(
                "LoRA changes linear layers and pointwise convolutions, and this network has neither: choose other "
                "convolutions with ground_truth.target_modules"
            )
        return chosen
    for name in names:
        if not any(_ends_with(layer, name) for layer in layers):
            layer_names = {layer.rpartition(".")[2] for layer in layers}
            raise NotApplicableError(f"no layer of this network is named '{name}': {suggestion(name, layer_names)}")
    return tuple(layer for layer in layers if any(_ends_with(layer, name) for name in names))


def _is_linear(layer: nn.Module) -> bool:
    """Return True for linear layers, and convolutions that act on each pixel and mix all channels."""
    return isinstance(layer, nn.Linear) or (
        isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.groups == 1
    )


def _ends_with(layer: str, name: str) -> bool:
    """Return whether the last parts of the name of a layer are ``name``."""
    return f".{layer}".endswith(f".{name}")
