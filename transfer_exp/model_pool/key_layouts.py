"""How published checkpoints name the weights of a ResNet-50, and the same weights under torchvision's names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from transfer_exp.errors import InputError

_HOLDERS = ("state_dict", "model", "resnet")
"""Where a file keeps its state dict when it keeps more: epochs, options, momentum encoders, states of optimisers."""
_COUNTER = "num_batches_tracked"
"""Decides nothing a network computes; converters leave it out."""


@dataclass(frozen=True)
class KeyLayout:
    """How the trunk of a ResNet-50 is named in a file; whatever else the file names is no part of the trunk.

    Attributes
    ----------
    name
        Whose files these are, for messages.
    key
        The name in the file, for torchvision's name of a trunk weight.
    trunk
        What names of trunk weights begin with, in a ResNet of any depth.
    """

    name: str
    key: Callable[[str], str]
    trunk: re.Pattern[str]


def _prefixed(name: str, prefix: str) -> KeyLayout:
    """Return a layout of torchvision's names behind a prefix."""
    return KeyLayout(name, lambda weight: prefix + weight, re.compile(re.escape(prefix) + r"(conv1|bn1|layer\d+)\."))


_STEM = {"conv1": "net.0.0", "bn1": "net.0.1.0"}
_BLOCK = {
    "conv1": "net.0",
    "bn1": "net.1.0",
    "conv2": "net.2",
    "bn2": "net.3.0",
    "conv3": "net.4",
    "bn3": "net.5.0",
    "downsample.0": "projection.shortcut",
    "downsample.1": "projection.bn.0",
}


def _nested(weight: str) -> str:
    """Return the name in SimCLR v2's conversion, where a network is sequences in sequences."""
    module, _, part = weight.rpartition(".")
    if module in _STEM:
        return f"{_STEM[module]}.{part}"
    layer, block, inside = module.split(".", 2)
    return f"net.{layer.removeprefix('layer')}.blocks.{block}.{_BLOCK[inside]}.{part}"


LAYOUTS = (
    _prefixed("MoCo and PCL", "module.encoder_q."),
    _prefixed("PyContrast", "module.encoder."),
    _prefixed("SwAV", "module."),
    KeyLayout("SimCLR v2", _nested, re.compile(r"net\.")),
    _prefixed("torchvision", ""),
)


def trunk_state(content: object, trunk: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Return the state dict of a ResNet-50 trunk from whatever a checkpoint file holds.

    Heads, predictors, prototypes, queues and momentum encoders are left behind.

    Parameters
    ----------
    content
        What was in the file: a state dict in one of `LAYOUTS`, or a mapping that has one as ``state_dict``, ``model``
        or ``resnet``.
    trunk
        The state dict to fill: torchvision's names and the shapes. Counters of batches that the file lacks stay.
    where
        The file, for messages.

    Raises
    ------
    InputError
        When no layout fits, or one does but a weight is missing, of another shape, or one too many.
    """
    layout, state = _recognised(content, where)
    keys = {weight: layout.key(weight) for weight in trunk}
    found = {weight: state[key] for weight, key in keys.items() if key in state}
    missing = [key for weight, key in keys.items() if weight not in found and not weight.endswith(_COUNTER)]
    if missing:
        raise InputError(f"{where} lacks {missing[0]}, which a ResNet-50 in the layout of {layout.name} has")
    for weight, value in found.items():
        shape = tuple(getattr(value, "shape", ()))
        if not isinstance(value, Tensor) or shape != tuple(trunk[weight].shape):
            need = tuple(trunk[weight].shape)
            raise InputError(f"{where} has {keys[weight]} of shape {shape}: a ResNet-50 of width 1 needs {need}")
    further = sorted({key for key in state if layout.trunk.match(key)} - set(keys.values()))
    if further:
        raise InputError(f"{where} has {further[0]}, which a ResNet-50 has not: it is of another architecture")
    return {**trunk, **found}


def _recognised(content: object, where: str) -> tuple[KeyLayout, dict[str, Tensor]]:
    """Return the layout of a file and the state dict in it."""
    outer = content if isinstance(content, Mapping) else {}
    for state in (outer, *(outer.get(holder) for holder in _HOLDERS)):
        if not isinstance(state, Mapping):
            continue
        for layout in LAYOUTS:
            if layout.key("conv1.weight") in state:
                return layout, {key: value for key, value in state.items() if isinstance(key, str)}
    stems = ", ".join(f"{layout.key('conv1.weight')} ({layout.name})" for layout in LAYOUTS)
    raise InputError(f"{where} is no ResNet-50 in a known layout: it has none of {stems}")
