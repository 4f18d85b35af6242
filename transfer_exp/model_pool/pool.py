"""Model pools: pretrained models ("candidates") that are ranked together, and the networks that they load."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn

from transfer_exp.errors import InputError, suggestion
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
    """

    backbone: Backbone
    transform: Transform
    identity: Mapping[str, Any]
    freeze_batch_norm: bool = False
    imagenet_accuracy: float | None = None
    augmented: Transform | None = None
    source_dataset: str | None = None

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


@dataclass(frozen=True, eq=False)
class Candidate:
    """One model of a pool.

    Attributes:
        name: Name of the model in tables.
        load: Returns the model; raises `NotApplicableError` with the reason when the model cannot be used.
        count_parameters: Returns the approximate number of parameters without loading the model, or None if unknown. A
            search looks at small models first.
    """

    name: str
    load: Callable[[], LoadedModel]
    count_parameters: Callable[[], int | None] = lambda: None


@dataclass(frozen=True, eq=False)
class ModelPool:
    """M candidates, in the order in which they are scored."""

    name: str
    candidates: tuple[Candidate, ...]

    def select(self, names: Sequence[str] | None) -> ModelPool:
        """Return the pool reduced to ``names``, in that order, or the pool itself for None.

        Raises:
            InputError: If a name is unknown or repeated, or the list is empty.
        """
        by_name = {candidate.name: candidate for candidate in self.candidates}
        return ModelPool(self.name, tuple(by_name[n] for n in select_names(names, by_name, self.name)))


def combine_pools(pools: Sequence[ModelPool], name: str, names: Sequence[str] | None = None) -> ModelPool:
    """Return one pool with the candidates ``names`` (None for all) of several pools; ``name`` appears in tables.

    Raises:
        InputError: If two models have the same name, or ``names`` has an unknown name.
    """
    candidates = tuple(candidate for pool in pools for candidate in pool.candidates)
    for model, count in Counter(candidate.name for candidate in candidates).items():
        if count > 1:
            raise InputError(f"{count} models of {name} are called '{model}': rename all but one")
    return ModelPool(name, candidates).select(names)


def select_names(names: Sequence[str] | None, available: Iterable[str], source: str) -> tuple[str, ...]:
    """Return ``names`` after checking each against ``available``, or all available names for None.

    One name may be given without a list.

    Raises:
        InputError: If a name is unknown (the message has near matches) or repeated, or the list is empty.
    """
    available = tuple(available)
    names = (names,) if isinstance(names, str) else names
    selected = available if names is None else tuple(names)
    if not selected:
        raise InputError(f"{source} has no models to rank: set model_pool.names=[...]")
    for name in selected:
        if name not in available:
            raise InputError(f"no model '{name}' in {source}: {suggestion(name, available)}")
        if selected.count(name) > 1:
            raise InputError(f"model '{name}' is listed twice in model_pool.names: remove one")
    return selected


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
