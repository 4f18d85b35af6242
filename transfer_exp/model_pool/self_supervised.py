"""Twelve ResNet-50s that learned from ImageNet without its labels, from files as their authors publish them."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from torch import nn

from transfer_exp.model_pool.backbone import TrunkBackbone
from transfer_exp.model_pool.key_layouts import trunk_state
from transfer_exp.model_pool.pool import Candidate, LoadedModel, ModelPool, chosen_names, weights_digest
from transfer_exp.model_pool.timm import transforms
from transfer_exp.types import InputError, suggestion
from transfer_exp.vision import torchvision

_FACTS = Path(__file__).with_suffix(".yaml")
_ENDINGS = (".pth", ".pth.tar", ".pt", ".safetensors")
_SIDE = 224
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Published:
    """One checkpoint as its authors publish it.

    Attributes
    ----------
    page, file
        Where to get it, and what it is called there.
    mean, std
        What the network expects its input to be normalised with, per channel on [0, 1].
    """

    page: str
    file: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def self_supervised(
    root: str, names: Sequence[str] | None = None, digests: Mapping[str, str] | None = None
) -> ModelPool:
    """Return the pool of self-supervised ResNet-50s; ``docs/self_supervised.md`` says where to get them.

    Parameters
    ----------
    root
        Folder with a file ``NAME.pth``, ``.pth.tar``, ``.pt`` or ``.safetensors`` for each.
    names
        Which of the twelve, or all.
    digests
        The sha256 that a file must have, by name; none need be given.

    Raises
    ------
    InputError
        For an unknown name; on loading, for a file that is absent, has another digest, holds more than tensors and
        plain values, or is no ResNet-50.
    """
    known, pinned = published(), digests or {}
    for name in pinned:
        if name not in known:
            raise InputError(f"no model '{name}' to pin the digest of: {suggestion(name, known)}")
    chosen = chosen_names(names, known, "self_supervised")
    folder = Path(root).expanduser()
    candidates = (Candidate(name, partial(_load, folder, name, known[name], pinned.get(name))) for name in chosen)
    return ModelPool("self_supervised", tuple(candidates))


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


def _load(folder: Path, name: str, source: Published, digest: str | None) -> LoadedModel:
    """Find the file, check it, and fill a trunk with it."""
    path = _path(folder, name, source)
    if digest is not None:
        _check_digest(path, digest)
    content = _content(path)
    network = torchvision.models.resnet50(weights=None)
    network.fc = nn.Identity()
    network.load_state_dict(trunk_state(content, network.state_dict(), str(path)), strict=True)
    identity = {"library": "torchvision", "architecture": "resnet50", "weights": weights_digest(network)}
    settings = {
        "input_size": (3, _SIDE, _SIDE),
        "mean": source.mean,
        "std": source.std,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
    }
    plain, augmented = transforms(network, settings)
    return LoadedModel(TrunkBackbone(network).eval(), plain, identity, augmented=augmented)


def _path(folder: Path, name: str, source: Published) -> Path:
    """Return the one file of a model."""
    # Not `with_suffix`, which would take the end off a name with a dot in it.
    found = [path for path in (folder / f"{name}{ending}" for ending in _ENDINGS) if path.is_file()]
    if not found:
        others = ", ".join(_ENDINGS[1:])
        raise InputError(
            f"no file {folder / name}{_ENDINGS[0]} (or {others}): get {source.file} from {source.page}, or leave "
            f"{name} out of model_pool.names"
        )
    if len(found) > 1:
        raise InputError(f"{found[0]} and {found[1].name} are both there: keep one")
    return found[0]


def _check_digest(path: Path, expected: str) -> None:
    """Refuse a file that is not the one whose digest was pinned."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    if total.hexdigest() != expected.lower():
        raise InputError(f"{path} has sha256 {total.hexdigest()}, and model_pool.digests has {expected}")


def _content(path: Path) -> object:
    """Read a file without running anything that is in it."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # PyContrast's predecessor saves the options of its script. A namespace is attributes with values and has no
        # code that loading would run; each value is still refused unless it is a tensor or plain.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # either library raises many types; a refused pickle is one of them
        raise InputError(
            f"{path} is damaged, or holds more than tensors and plain values: save its state dict alone"
        ) from error
