"""Four vision transformers that timm has no weights for, read from the files that their authors publish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from transfer_exp.errors import InputError
from transfer_exp.model_pool.backbone import wrap_network
from transfer_exp.model_pool.loaded_model import LoadedModel, hash_weights, load_weights
from transfer_exp.model_pool.pool import ModelPool
from transfer_exp.model_pool.preprocessing import create_transforms
from transfer_exp.model_pool.published_checkpoints import CheckpointSource, create_published_pool
from transfer_exp.model_pool.pvt import DEPTHS, PVT, rename_weight
from transfer_exp.vision import timm

_STATE_KEYS = ("state_dict", "model")
"""Keys of the state dict in files that hold more."""
_MOCO_PREFIX = "module.base_encoder."
_MOCO_ARCHITECTURE, _MOCO_ARGUMENTS = "vit_small_patch16_224", {"num_heads": 12}


@dataclass(frozen=True)
class ViTSource(CheckpointSource):
    """Source of a checkpoint, and the network that it belongs to.

    Attributes:
        build: Function that builds the network without weights.
        rename: Function of a key in the file that gives the name of the weight in the network, or None to leave it out.
        identity: The identity of the loaded model, without the digest of its weights.
        interpolation: The mode in which the authors resize images, to 256 pixels before a centre crop of 224.
    """

    build: Callable[[], nn.Module]
    rename: Callable[[str], str | None]
    identity: Mapping[str, Any]
    interpolation: str


def vit_files(root: str, names: Sequence[str] | None = None) -> ModelPool:
    """Return MoCo v3's ViT-Small and three Pyramid Vision Transformers.

    MoCo v3 uses timm's network with twelve heads instead of six (Chen et al., ICCV 2021, Table 3).

    Args:
        root: Folder with one file per model, named after the model.
        names: The models to use, or None for all.

    Raises:
        InputError, NotApplicableError: As in `create_published_pool`; InputError also if a file does not fit.
    """
    return create_published_pool("vit_files", SOURCES, _load, root, names)


def _rename_moco_weight(key: str) -> str | None:
    """Leave out the projection, the predictor and the momentum encoder, which a converted file does not have."""
    name = key.removeprefix(_MOCO_PREFIX)
    return None if name.startswith(("head.", "module.")) else name


def _pvt_source(name: str) -> ViTSource:
    identity = {"library": "pvt", "architecture": name}
    page = "https://github.com/whai362/PVT"
    return ViTSource(page, f"{name}.pth", lambda: PVT(DEPTHS[name]), rename_weight, identity, "bicubic")


SOURCES = {
    "mocov3_small": ViTSource(
        "https://github.com/facebookresearch/moco-v3",
        "vit-s-300ep.pth.tar",
        lambda: timm.create_model(_MOCO_ARCHITECTURE, pretrained=False, num_classes=0, **_MOCO_ARGUMENTS),
        _rename_moco_weight,
        {"library": "timm", "architecture": _MOCO_ARCHITECTURE, "arguments": _MOCO_ARGUMENTS},
        "bilinear",
    ),
    **{name: _pvt_source(name) for name in DEPTHS},
}


def _load(name: str, content: object, path: Path) -> LoadedModel:
    source = SOURCES[name]
    network = source.build()
    renamed = {source.rename(key): value for key, value in _extract_state(content).items()}
    try:
        load_weights(network, {key: value for key, value in renamed.items() if key is not None})
    except (RuntimeError, ValueError) as error:
        detail = " ".join(str(error).split())[:200]
        raise InputError(f"{path} does not fit {name}, for {source.file}: {detail}") from error
    settings = {"interpolation": source.interpolation, "crop_pct": 224 / 256, "input_size": (3, 224, 224)}
    normalisation = {"mean": timm.data.IMAGENET_DEFAULT_MEAN, "std": timm.data.IMAGENET_DEFAULT_STD}
    transform, augmented = create_transforms(network, settings | normalisation)
    identity = {**source.identity, "weights": hash_weights(network)}
    return LoadedModel(wrap_network(network.eval()), transform, identity, augmented=augmented)


def _extract_state(content: object) -> dict[str, Tensor]:
    """Return the tensors of a state dict, which is the whole content of a file or one of its values."""
    outer = content if isinstance(content, Mapping) else {}
    state = next((outer[key] for key in _STATE_KEYS if isinstance(outer.get(key), Mapping)), outer)
    return {key: value for key, value in state.items() if isinstance(key, str) and isinstance(value, Tensor)}
