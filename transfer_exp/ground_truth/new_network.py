"""A network about to be fine-tuned: what of it is trained, a new head, and how both are shown images."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, reduce
from typing import TypeAlias

import torch
from jaxtyping import Int
from numpy import ndarray
from torch import nn

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.ground_truth.examples import Examples
from transfer_exp.ground_truth.linear_probe import LabelledFeatures, fit_probe, labelled_features
from transfer_exp.ground_truth.prepared_images import PreparedImages
from transfer_exp.ground_truth.random_state import random_state, seeded_random_state
from transfer_exp.ground_truth.regime import Pairing
from transfer_exp.ground_truth.trained_part import PartOf, TrainedPart
from transfer_exp.model_pool.pool import LoadedModel, Transform

_STRENGTH, _TOLERANCE = 1e-2, 1e-3
"""Of the linear probe that a head begins with: the middle of the usual grid, solved as far as a beginning needs."""
NewHead: TypeAlias = Callable[[int], nn.Linear]
"""Makes a head for features of some dimension."""


@dataclass(frozen=True, eq=False)
class NewNetwork:
    """Makes networks to train, all alike.

    Attributes
    ----------
    part, dim
        What is trained beside the head, and the dimension of its features.
    transform
        Makes an input of an image.
    freeze_batch_norm
        Keep batch norms in evaluation mode.
    seed
        Initialises heads.
    device
        Where networks and inputs are.
    """

    part: TrainedPart
    dim: int
    transform: Transform
    freeze_batch_norm: bool
    seed: int
    device: torch.device

    def fresh(self, head: NewHead) -> nn.Module:
        """Return what is trained and a new head, in training mode."""
        with random_state(seeded_random_state(self.seed)):
            network = _WithHead(self.part.fresh(), head(self.dim))
        network.freeze_batch_norm = self.freeze_batch_norm
        return network.to(self.device).train()

    def examples(self, images: LabelledImages) -> Examples:
        """Return images as the network takes them, none of them altered at random."""
        prepared = PreparedImages(images, self.transform, self.device)
        return Examples(self.part.shown(prepared), images.labels, images.targets)


def new_network(
    model: LoadedModel, part_of: PartOf, images: LabelledImages, freeze_batch_norm: bool, seed: int, device: str
) -> NewNetwork:
    """Prepare a model for fine-tuning; some of its images tell the shapes, and the model stays as it is."""
    backbone = copy.deepcopy(model.backbone).cpu().eval()
    # As extraction leaves it: the layout decides the rounding, which must not hang on whether that came before.
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = model.transform(images.read(0))[None]
    with torch.inference_mode():
        dim = backbone(image).shape[1]
    part = part_of(model, backbone, image)
    frozen = model.freeze_batch_norm or freeze_batch_norm
    return NewNetwork(part, dim, model.transform, frozen, seed, torch.device(device))


def probed_head(pairing: Pairing, chosen: Int[ndarray, " chosen"]) -> NewHead:
    """Return what makes heads that begin as a linear probe, fitted once to some of the images of train and validation.

    Raises, once a head is made, as `fit_probe`.
    """

    @cache
    def fitted() -> nn.Linear:
        parts = [labelled_features(pairing, split) for split in ("train", "validation")]
        on = reduce(LabelledFeatures.concatenate, [part for part in parts if part is not None]).subset(chosen)
        return fit_probe(on, len(pairing.dataset.class_names), (_STRENGTH,), _TOLERANCE).as_layer(len(chosen))

    return lambda dim: copy.deepcopy(fitted())


class _WithHead(nn.Sequential):
    """What gives features and a new head, in which batch norms stay in evaluation mode where they are frozen."""

    freeze_batch_norm = False

    def train(self, mode: bool = True) -> _WithHead:
        """Enter training mode, or evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if mode and self.freeze_batch_norm and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self
