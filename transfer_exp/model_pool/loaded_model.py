"""Loaded models: a pretrained network with its preprocessing, and the digest and loading of weights."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn

from transfer_exp.metric.metric import ModelWeights
from transfer_exp.model_pool.backbone import Backbone

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
Transform = Callable[[Image], Tensor]
"""Preprocessing of one RGB image to the input of a network, (3, H, W)."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A pretrained network with its weights and its preprocessing.

    Attributes:
        backbone: The network, in evaluation mode, on the CPU, in float32.
        transform: The evaluation preprocessing of the network.
        identity: Plain data that decides what the network computes, such as library, architecture and weights digest.
        freeze_batch_norm: True when batch norms must stay in evaluation mode even while training.
        imagenet_accuracy: Published top-1 accuracy of the weights on ImageNet-1k, in [0, 1], or None.
        augmented: The training preprocessing, with a random crop and flip instead of a resize; None if unavailable.
        source_dataset: Name of the dataset that the network was pretrained on, or None.
        licence: Licence of the weights, or None if unknown.
        file_bytes: Size of the file of weights, or None if unknown.
    """

    backbone: Backbone
    transform: Transform
    identity: Mapping[str, Any]
    freeze_batch_norm: bool = False
    imagenet_accuracy: float | None = None
    augmented: Transform | None = None
    source_dataset: str | None = None
    licence: str | None = None
    file_bytes: int | None = None

    @property
    def parameters(self) -> int:
        """Number of trainable parameters, source head included."""
        return sum(parameter.numel() for parameter in self.backbone.parameters())

    @property
    def weights(self) -> ModelWeights:
        """Weights of the convolutions and linear layers, which share the memory of the network."""
        head = self.backbone.linear_head
        layers = [m for m in self.backbone.modules() if isinstance(m, _LAYERS) and m is not head]
        matrices = tuple(layer.weight.detach().flatten(1).numpy() for layer in layers)
        if head is None:
            return ModelWeights(matrices)
        bias = torch.zeros(head.out_features) if head.bias is None else head.bias.detach()
        return ModelWeights(matrices, (head.weight.detach().numpy(), bias.numpy()))


def hash_weights(network: nn.Module) -> str:
    """Return the sha256 of a network's parameters and buffers, names and shapes included."""
    total = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        total.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def load_weights(network: nn.Module, state: Mapping[str, Tensor], versions: Mapping[str, Any] | None = None) -> None:
    """Load a state dict into a network; every weight must be present and every key must be used.

    Args:
        network: Network of the matching architecture.
        state: Parameters and buffers by name.
        versions: The ``_metadata`` of a torch file, with the layout version of each module. Some networks (MNASNet)
            require it; for files without it, such as safetensors, the current versions are used.

    Raises:
        RuntimeError, ValueError: If the state dict does not fit the network.
    """
    complete = OrderedDict(state)
    current = network.state_dict()._metadata[""]  # type: ignore[attr-defined]
    complete._metadata = versions if versions is not None else {"": current}  # type: ignore[attr-defined]
    network.load_state_dict(complete, strict=True)
