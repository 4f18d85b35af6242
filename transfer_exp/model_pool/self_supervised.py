"""Twelve ResNet-50s that learned from ImageNet without its labels, from files as their authors publish them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from omegaconf import OmegaConf
from torch import nn

from transfer_exp.model_pool.backbone import TrunkBackbone
from transfer_exp.model_pool.key_layouts import trunk_state
from transfer_exp.model_pool.pool import LoadedModel, ModelPool, weights_digest
from transfer_exp.model_pool.published_checkpoints import Source, author_files
from transfer_exp.model_pool.timm import transforms
from transfer_exp.vision import torchvision

_FACTS = Path(__file__).with_suffix(".yaml")
_SIDE = 224


@dataclass(frozen=True)
class Published(Source):
    """One checkpoint as its authors publish it.

    Attributes
    ----------
    mean, std
        What the network expects its input to be normalised with, per channel on [0, 1].
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def self_supervised(
    root: str, names: Sequence[str] | None = None, digests: Mapping[str, str] | None = None
) -> ModelPool:
    """Return the pool of self-supervised ResNet-50s; ``docs/self_supervised.md`` says where to get them.

    Parameters
    ----------
    root, names, digests
        As `author_files`.

    Raises
    ------
    InputError, NotApplicableError
        As `author_files`; the first also for a file that holds no ResNet-50.
    """
    return author_files("self_supervised", published(), _load, root, names, digests)


@cache
def published() -> dict[str, Published]:
    """Return what ``self_supervised.yaml`` says of each model, by name."""
    facts = OmegaConf.load(_FACTS)
    return {
        str(name): Published(
            model.page,
            model.file,
            mean=tuple(facts.normalisations[model.normalisation].mean),
            std=tuple(facts.normalisations[model.normalisation].std),
        )
        for name, model in facts.models.items()
    }


def _load(name: str, content: object, path: Path) -> LoadedModel:
    """Fill a trunk with what a file holds."""
    network = torchvision.models.resnet50(weights=None)
    network.fc = nn.Identity()
    network.load_state_dict(trunk_state(content, network.state_dict(), str(path)), strict=True)
    identity = {"library": "torchvision", "architecture": "resnet50", "weights": weights_digest(network)}
    settings = {
        "input_size": (3, _SIDE, _SIDE),
        "mean": published()[name].mean,
        "std": published()[name].std,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
    }
    plain, augmented = transforms(network, settings)
    return LoadedModel(TrunkBackbone(network).eval(), plain, identity, augmented=augmented)
