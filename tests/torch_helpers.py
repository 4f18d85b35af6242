"""Images, networks and pairings that only the tests with torch or Pillow use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.features.model_on_target import NetworkOnImages
from transfer_exp.vision import torchvision


def coloured(per_class: int, seed: int, classes: int = 3) -> LabelledImages:
    """Return noisy images whose class is their brightest channel: learnable in a few steps."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(classes), per_class)
    pixels = rng.integers(0, 160, (len(labels), 12, 12, 3), dtype=np.uint8)
    pixels[np.arange(len(labels)), :, :, labels] += 90
    return LabelledImages(labels, lambda i: Image.fromarray(pixels[i]), lambda i: pixels[i].tobytes())


class FakePairing(NetworkOnImages):
    """Pairing with fixed attributes, which may replace properties and methods."""

    name = ""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def at_layer(self, layer, same_pass=()):
        return self


def fake_pairing(name="net", dataset=None, model=None, unfinished=None, **methods):
    """Return one model on one dataset; ``methods`` are functions from a split to its ``images`` or ``features``."""
    return FakePairing(name=name, dataset=dataset, model=model, unfinished=unfinished, **methods)


def cache_random_weights(root: Path, name: str) -> nn.Module:
    """Fill torch's cache below ``root`` with a network of random weights under the name of the published file."""
    torch.manual_seed(0)
    arguments = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    network = torchvision.models.get_model(name, weights=None, **arguments).eval()
    choice = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    checkpoints = root / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), checkpoints / choice.url.rsplit("/", 1)[1])
    return network


def cached_bytes(pixels):
    """Return the size of all pixels in a cache."""
    return sum(batch.nbytes for batches in pixels._splits.values() for batch in batches)
