"""Twelve ResNet-50s trained on ImageNet without labels, read from the files that their authors publish.

The files name the weights in five ways (`LAYOUTS`). Only the trunk is loaded: the ResNet-50 without a classifier head.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from transfer_exp.errors import InputError
from transfer_exp.model_pool.pool import ModelPool
from transfer_exp.model_pool.published_checkpoints import CheckpointSource, create_published_pool

if TYPE_CHECKING:
    from torch import Tensor

    from transfer_exp.model_pool.loaded_model import LoadedModel

# Libraries are imported in the functions: an option must not wait for torch.

_SOURCES = Path(__file__).with_suffix(".yaml")
_STATE_KEYS = ("state_dict", "model", "resnet")
"""Keys of the state dict in files that also hold epochs, options, momentum encoders or optimiser states."""
_BATCH_COUNTER = "num_batches_tracked"
"""Buffer of a batch norm without effect on the output; converters leave it out."""


@dataclass(frozen=True)
class SelfSupervisedSource(CheckpointSource):
    """Source of a checkpoint, and the normalisation of its input per channel, for pixels in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def self_supervised(
    root: str, names: Sequence[str] | None = None, digests: Mapping[str, str] | None = None
) -> ModelPool:
    """Return the pool of self-supervised ResNet-50s; ``docs/self_supervised.md`` lists the download pages.

    Args:
        root: Folder with one file per model, named after the model.
        names: The models to use, or None for all.
        digests: Expected sha256 of files by model name; models without one are not verified.

    Raises:
        InputError: As in `create_published_pool`; on loading also if a file does not contain a ResNet-50.
        NotApplicableError: On loading, if the file is missing.
    """
    return create_published_pool("self_supervised", read_sources(), _load, root, names, digests)


@cache
def read_sources() -> dict[str, SelfSupervisedSource]:
    """Return the sources listed in ``self_supervised.yaml``, by model name."""
    content = OmegaConf.load(_SOURCES)
    return {
        str(name): SelfSupervisedSource(
            model.page,
            model.file,
            mean=tuple(content.normalisations[model.normalisation].mean),
            std=tuple(content.normalisations[model.normalisation].std),
        )
        for name, model in content.models.items()
    }


def _load(name: str, content: object, path: Path) -> LoadedModel:
    """Build a model from the unpickled content of its file."""
    from torch import nn

    from transfer_exp.model_pool.backbone import HeadlessBackbone
    from transfer_exp.model_pool.loaded_model import LoadedModel, hash_weights
    from transfer_exp.model_pool.preprocessing import create_transforms
    from transfer_exp.vision import torchvision

    network = torchvision.models.resnet50(weights=None)
    network.fc = nn.Identity()
    network.load_state_dict(extract_trunk_state(content, network.state_dict(), str(path)), strict=True)
    identity = {"library": "torchvision", "architecture": "resnet50", "weights": hash_weights(network)}
    source = read_sources()[name]
    settings = {"input_size": (3, 224, 224), "mean": source.mean, "std": source.std}
    transform, augmented = create_transforms(network, settings | {"interpolation": "bicubic", "crop_pct": 1.0})
    return LoadedModel(HeadlessBackbone(network).eval(), transform, identity, augmented=augmented)


@dataclass(frozen=True)
class KeyLayout:
    """Naming scheme of ResNet-50 weights in published files.

    Attributes:
        name: The methods whose files use the scheme, for messages.
        rename: Function of torchvision's name of a trunk weight that gives the name in the file.
        trunk_pattern: Matches every trunk weight in the file, also those that only deeper ResNets have.
    """

    name: str
    rename: Callable[[str], str]
    trunk_pattern: re.Pattern[str]


def _prefix_layout(name: str, prefix: str) -> KeyLayout:
    """Return the layout of torchvision's names with a prefix."""
    return KeyLayout(name, lambda weight: prefix + weight, re.compile(re.escape(prefix) + r"(conv1|bn1|layer\d+)\."))


_SIMCLR_STEM = {"conv1": "net.0.0", "bn1": "net.0.1.0"}
_SIMCLR_BLOCK = {
    "conv1": "net.0",
    "bn1": "net.1.0",
    "conv2": "net.2",
    "bn2": "net.3.0",
    "conv3": "net.4",
    "bn3": "net.5.0",
    "downsample.0": "projection.shortcut",
    "downsample.1": "projection.bn.0",
}


def _rename_for_simclr(weight: str) -> str:
    """Return the name of a weight in the PyTorch conversion of SimCLR v2, which nests sequences in sequences."""
    module, _, tensor = weight.rpartition(".")
    if module in _SIMCLR_STEM:
        return f"{_SIMCLR_STEM[module]}.{tensor}"
    layer, block, inner = module.split(".", 2)
    return f"net.{layer.removeprefix('layer')}.blocks.{block}.{_SIMCLR_BLOCK[inner]}.{tensor}"


LAYOUTS = (
    _prefix_layout("MoCo and PCL", "module.encoder_q."),
    _prefix_layout("PyContrast", "module.encoder."),
    _prefix_layout("SwAV", "module."),
    KeyLayout("SimCLR v2", _rename_for_simclr, re.compile(r"net\.")),
    _prefix_layout("torchvision", ""),
)


def extract_trunk_state(content: object, template: Mapping[str, Tensor], file: str) -> dict[str, Tensor]:
    """Return the state dict of a ResNet-50 trunk from the content of a published file.

    Heads, predictors, prototypes, queues and momentum encoders are left out.

    Args:
        content: A state dict in one of `LAYOUTS`, or a mapping with one under ``state_dict``, ``model`` or ``resnet``.
        template: State dict of a new trunk, with the expected shapes, and the batch counters that the file may lack.
        file: The path of the file, for messages.

    Raises:
        InputError: If no layout fits, or a weight is missing, superfluous or has the wrong shape.
    """
    from torch import Tensor

    layout, state = _detect_layout(content, file)
    keys = {weight: layout.rename(weight) for weight in template}
    weights = {weight: state[key] for weight, key in keys.items() if key in state}
    missing = [key for weight, key in keys.items() if weight not in weights and not weight.endswith(_BATCH_COUNTER)]
    if missing:
        raise InputError(f"{file} lacks {missing[0]}, which a ResNet-50 in the layout of {layout.name} has")
    for weight, value in weights.items():
        shape, expected = tuple(getattr(value, "shape", ())), tuple(template[weight].shape)
        if not isinstance(value, Tensor) or shape != expected:
            raise InputError(f"{file} has {keys[weight]} of shape {shape}: a ResNet-50 of width 1 needs {expected}")
    superfluous = sorted({key for key in state if layout.trunk_pattern.match(key)} - set(keys.values()))
    if superfluous:
        raise InputError(f"{file} has {superfluous[0]}, which a ResNet-50 does not have: it is of another architecture")
    return {**template, **weights}


def _detect_layout(content: object, file: str) -> tuple[KeyLayout, dict[str, Tensor]]:
    """Return the layout of a file and its state dict."""
    outer = content if isinstance(content, Mapping) else {}
    for state in (outer, *(outer.get(key) for key in _STATE_KEYS)):
        if not isinstance(state, Mapping):
            continue
        for layout in LAYOUTS:
            if layout.rename("conv1.weight") in state:
                return layout, {key: value for key, value in state.items() if isinstance(key, str)}
    stems = ", ".join(f"{layout.rename('conv1.weight')} ({layout.name})" for layout in LAYOUTS)
    raise InputError(f"{file} is not a ResNet-50 in a known layout: it has none of {stems}")
