"""What of a network is trained and what it is shown: images, or what the frozen trunk makes of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from transfer_exp.ground_truth.block_definitions import freeze
from transfer_exp.ground_truth.prepared_images import MOST_BYTES, PreparedImages
from transfer_exp.ground_truth.split_network import Trunk
from transfer_exp.ground_truth.training import Batch, BatchAt
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.pool import LoadedModel

_CHUNK = 128


@runtime_checkable
class TrainedPart(Protocol):
    """Copies of what is trained, and what they take."""

    def fresh(self) -> nn.Module:
        """Return a copy with pretrained weights, in evaluation mode, that gives features (B, D)."""
        ...

    def shown(self, images: PreparedImages) -> BatchAt:
        """Return what the copies take in place of images, by position."""
        ...


Images = Float[Tensor, "batch 3 height width"]
PartOf: TypeAlias = Callable[[LoadedModel, Backbone, Images], TrainedPart]
"""Makes the part of a model from a copy of its backbone, which it may keep, and one of its images or more."""


@dataclass(frozen=True, eq=False)
class OnImages:
    """A network that is trained on images.

    Attributes
    ----------
    backbone
        In evaluation mode.
    block
        Names of the modules that are trained; all where there are none.
    """

    backbone: Backbone
    block: tuple[str, ...] = ()

    def fresh(self) -> nn.Module:
        """Return a copy of the network, frozen outside the block."""
        network = copy.deepcopy(self.backbone)
        return freeze(network, self.block) if self.block else network

    def shown(self, images: PreparedImages) -> BatchAt:
        """Return the images."""
        return images


@dataclass(frozen=True, eq=False)
class OnActivations:
    """The end of a network, trained on what the frozen trunk before it gives, which is computed once.

    Attributes
    ----------
    trunk, rest
        As `split_at` gives them.
    block
        Names of the modules of ``rest`` that are trained.
    """

    trunk: Trunk
    rest: nn.Module
    block: tuple[str, ...]

    def fresh(self) -> nn.Module:
        """Return a copy of the rest, frozen outside the block."""
        return freeze(copy.deepcopy(self.rest), self.block)

    def shown(self, images: PreparedImages) -> BatchAt:
        """Return activations at the boundary: of up to 2 GiB kept in memory, of more computed batch by batch."""
        self.trunk.backbone.to(images.device)
        one = self.trunk(images(torch.arange(1))[0])
        if one.nbytes * len(images) > MOST_BYTES:
            return lambda positions: self._through(*images(positions))
        # Always the same batches: a resumed run must compute the same bits.
        chunks = [self._through(*images(chosen)) for chosen in torch.arange(len(images)).split(_CHUNK)]
        inputs, targets = (torch.cat(parts) for parts in zip(*chunks, strict=True))
        return lambda positions: (inputs[positions], targets[positions])

    def _through(self, images: Images, targets: Tensor) -> Batch:
        return self.trunk(images), targets
