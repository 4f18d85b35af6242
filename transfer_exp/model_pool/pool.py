"""What a pool is: a name and candidates, each of which can be loaded."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn

from transfer_exp.errors import InputError, suggestion
from transfer_exp.model_pool.backbone import Backbone

Transform = Callable[[Image], Tensor]


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A pretrained network with its weights in place.

    Attributes
    ----------
    backbone
        In evaluation mode, on the CPU, in float32.
    transform
        The preprocessing it was trained with: an RGB image to a tensor (3, H, W).
    identity
        Plain data that decides what the network computes: library, architecture, arguments, digest of the weights.
    freeze_batch_norm
        True when batch norms must stay in evaluation mode even while training.
    imagenet_accuracy
        Top-1 accuracy on ImageNet-1k that was published with the weights, in [0, 1], or None.
    augmented
        As ``transform``, but of a random crop, mirrored half of the time; None where a pool has none.
    """

    backbone: Backbone
    transform: Transform
    identity: Mapping[str, Any]
    freeze_batch_norm: bool = False
    imagenet_accuracy: float | None = None
    augmented: Transform | None = None

    @property
    def parameters(self) -> int:
        """How many numbers can be trained, source head included."""
        return sum(parameter.numel() for parameter in self.backbone.parameters())


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model of a pool by name; ``load`` raises `NotApplicableError` when it cannot be used, saying why."""

    name: str
    load: Callable[[], LoadedModel]


@dataclass(frozen=True, eq=False)
class ModelPool:
    """M candidates, in the order in which they are worked through."""

    name: str
    candidates: tuple[Candidate, ...]

    def only(self, names: Sequence[str] | None) -> ModelPool:
        """Return the pool with some of its models, or all when None is asked for.

        Raises
        ------
        InputError
            As `chosen_names`.
        """
        by_name = {candidate.name: candidate for candidate in self.candidates}
        return ModelPool(self.name, tuple(by_name[n] for n in chosen_names(names, by_name, self.name)))


def weights_digest(network: nn.Module) -> str:
    """Return the sha256 of a network's parameters and buffers, names and shapes included."""
    total = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        total.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def fill_in(network: nn.Module, state: Mapping[str, Tensor], versions: Mapping[str, Any] | None = None) -> None:
    """Fill in weights, every one of them, and nothing that has no place.

    Parameters
    ----------
    network
        Of a matching architecture.
    state
        Its parameters and buffers by name.
    versions
        What a torch file carries as ``_metadata``: the layout of each module. A network that asks for its own (MNASNet
        does) gets today's where a file, such as safetensors, has none.

    Raises
    ------
    RuntimeError, ValueError
        When the two do not fit.
    """
    complete = OrderedDict(state)
    whole = network.state_dict()._metadata[""]  # type: ignore[attr-defined]
    complete._metadata = versions if versions is not None else {"": whole}  # type: ignore[attr-defined]
    network.load_state_dict(complete, strict=True)


def chosen_names(asked: Sequence[str] | None, known: Iterable[str], where: str) -> tuple[str, ...]:
    """Return ``asked``, each checked against ``known``, or all known names when nothing is asked.

    Raises
    ------
    InputError
        For an unknown name (with near matches), a repeated one, or an empty list.
    """
    known = tuple(known)
    names = known if asked is None else tuple(asked)
    if not names:
        raise InputError(f"{where} has no models to rank: set model_pool.names=[...]")
    for name in names:
        if name not in known:
            raise InputError(f"no model '{name}' in {where}: {suggestion(name, known)}")
        if names.count(name) > 1:
            raise InputError(f"model '{name}' is named twice in model_pool.names")
    return names
