"""Four vision transformers whose weights timm does not offer, from files as their authors publish them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from transfer_exp.errors import InputError
from transfer_exp.model_pool.backbone import backbone_of
from transfer_exp.model_pool.pool import LoadedModel, ModelPool, fill_in, weights_digest
from transfer_exp.model_pool.published_checkpoints import Source, author_files
from transfer_exp.model_pool.pvt import DEPTHS, PVT, renamed
from transfer_exp.model_pool.timm import transforms
from transfer_exp.vision import timm

_HOLDERS = ("state_dict", "model")
"""Where a file keeps its state dict when it keeps more."""
_MOCO_PREFIX = "module.base_encoder."
_VIT, _TWELVE = "vit_small_patch16_224", {"num_heads": 12}


@dataclass(frozen=True)
class Published(Source):
    """One checkpoint as its authors publish it.

    Attributes
    ----------
    build
        Its network, without weights.
    weight
        Our name of a weight for theirs; None for what is no part of the network.
    identity
        What `LoadedModel` is to know of it.
    interpolation
        How its authors resize images (to 256 pixels, of which the middle 224 are seen).
    """

    build: Callable[[], nn.Module]
    weight: Callable[[str], str | None]
    identity: Mapping[str, Any]
    interpolation: str


def vit_files(root: str, names: Sequence[str] | None = None) -> ModelPool:
    """Return MoCo v3's ViT-Small and three Pyramid Vision Transformers.

    MoCo v3's network is timm's, with twelve heads for six (Chen et al., ICCV 2021, Table 3).

    Parameters
    ----------
    root, names
        As `author_files`.

    Raises
    ------
    InputError, NotApplicableError
        As `author_files`; the first also for a file that does not fit its network.
    """
    return author_files("vit_files", PUBLISHED, _load, root, names)


def _moco_weight(key: str) -> str | None:
    """Leave out the projection, the predictor and the momentum encoder; a converted file has none of them."""
    own = key.removeprefix(_MOCO_PREFIX)
    return None if own.startswith(("head.", "module.")) else own


def _pvt(name: str) -> Published:
    identity = {"library": "pvt", "architecture": name}
    page = "https://github.com/whai362/PVT"
    return Published(page, f"{name}.pth", lambda: PVT(DEPTHS[name]), renamed, identity, "bicubic")


PUBLISHED = {
    "mocov3_small": Published(
        "https://github.com/facebookresearch/moco-v3",
        "vit-s-300ep.pth.tar",
        lambda: timm.create_model(_VIT, pretrained=False, num_classes=0, **_TWELVE),
        _moco_weight,
        {"library": "timm", "architecture": _VIT, "arguments": _TWELVE},
        "bilinear",
    ),
    **{name: _pvt(name) for name in DEPTHS},
}


def _load(name: str, content: object, path: Path) -> LoadedModel:
    """Fill a network with what a file holds."""
    source = PUBLISHED[name]
    network = source.build()
    named = {source.weight(key): value for key, value in _state(content).items()}
    try:
        fill_in(network, {key: value for key, value in named.items() if key is not None})
    except (RuntimeError, ValueError) as error:
        detail = " ".join(str(error).split())[:200]
        raise InputError(f"{path} does not fit {name}, for {source.file}: {detail}") from error
    settings = {"interpolation": source.interpolation, "crop_pct": 224 / 256, "input_size": (3, 224, 224)}
    normalisation = {"mean": timm.data.IMAGENET_DEFAULT_MEAN, "std": timm.data.IMAGENET_DEFAULT_STD}
    plain, augmented = transforms(network, settings | normalisation)
    identity = {**source.identity, "weights": weights_digest(network)}
    return LoadedModel(backbone_of(network.eval()), plain, identity, augmented=augmented)


def _state(content: object) -> dict[str, Tensor]:
    """Return the tensors of a state dict, which may be all that a file holds, or a part of it."""
    outer = content if isinstance(content, Mapping) else {}
    held = next((outer[holder] for holder in _HOLDERS if isinstance(outer.get(holder), Mapping)), outer)
    return {key: value for key, value in held.items() if isinstance(key, str) and isinstance(value, Tensor)}
