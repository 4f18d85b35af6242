"""Fine-tuning of the last block: everything before the block is frozen, batch-norm statistics included.

``last_blocks.yaml`` in this folder names the blocks of each family of networks, and explains its syntax. A family is
the library and the architecture, such as ``timm/resnet18``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from torch import nn

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.ground_truth.fine_tune import FineTuning
from transfer_exp.ground_truth.network import Images, TrainedPart, split_at
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.io.text import expand_user, read_text
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.loaded_model import LoadedModel

_log = logging.getLogger(__name__)
_SHIPPED = Path(__file__).with_name("last_blocks.yaml")
_MAX_BYTES = 1 << 20
# Attributes in which a `Backbone` keeps the library's network. A backbone that is the network has neither.
_WRAPPED = ("network", "trunk")


@dataclass(frozen=True)
class LastBlockFineTuning(FineTuning):
    """Ground truth: test accuracy after training the last block and a new head.

    Without augmentation and mixup, the network before the block runs once per image, and its activations are reused.

    Attributes:
        protocol, seed, device: Attributes of `FineTuning`.
        definitions: YAML file with the blocks of families that the shipped file lacks, see `find_last_block`; None to
            use the shipped file only.
    """

    option: ClassVar[str] = "last_block"

    protocol: Protocol
    seed: int = 0
    device: str = "cpu"
    definitions: str | None = None

    def select_part(self, model: LoadedModel, backbone: Backbone, image: Images) -> TrainedPart:
        """Return the part of the network that is trained, see `train_from`.

        Raises:
            InputError, NotApplicableError: Under the conditions of `find_last_block`.
        """
        return train_from(find_last_block(model, self.definitions), backbone, image, self.protocol)


def train_from(block: tuple[str, ...], backbone: Backbone, image: Images, protocol: Protocol) -> TrainedPart:
    """Return the part of a backbone in which only some modules are trained.

    If every epoch has the same images, the part before these modules is cut off, and runs once per image. Otherwise,
    and if the network cannot be cut, the part is the whole backbone, and its other modules stay frozen.

    Args:
        block: Names of the trained modules of ``backbone`` in forward order, see `split_at`.
        backbone: Network in evaluation mode.
        image: An image (1, 3, H, W) to trace the network with.
        protocol: Settings that decide whether the images change.
    """
    if protocol.augmentation == "none" and protocol.mixup == 0:
        try:
            frozen_part, rest = split_at(backbone, block, image)
            return TrainedPart(rest, block, frozen_part)
        except NotApplicableError as reason:
            _log.info("%s: training through the whole network, which takes longer", reason)
    return TrainedPart(backbone, block)


def find_last_block(model: LoadedModel, definitions: str | None = None) -> tuple[str, ...]:
    """Return the names of the modules of ``model.backbone`` that form its last block, in forward order.

    Args:
        model: Model whose identity names library and architecture.
        definitions: YAML file in the form of ``last_blocks.yaml`` in this folder; its entries take precedence over the
            shipped ones.

    Raises:
        InputError: When a file of definitions cannot be read, lacks a field, or has a wrong slice such as ``x:``.
        NotApplicableError: When no definition matches the network, or the matching one names a missing module.
    """
    definition, family = _find_definition(model, definitions)
    return _module_names(model.backbone, definition.block, family)


def find_blocks(model: LoadedModel, definitions: str | None = None) -> tuple[str, ...]:
    """Return the names of the modules of ``model.backbone`` that are its blocks, in the order of its definition.

    Parameters are those of `find_last_block`.

    Raises:
        InputError: When a file of definitions cannot be read or lacks a field.
        NotApplicableError: When no definition matches the network, or none of its blocks is in the network.
    """
    definition, family = _find_definition(model, definitions)
    prefix = _wrapped_prefix(model.backbone)
    pattern = "|".join(re.escape(prefix + entry).replace(r"\*", r"[^.]*") for entry in definition.blocks)
    names = [
        name
        for name, module in model.backbone.named_modules()
        if name and re.fullmatch(pattern, name) and any(True for _ in module.parameters())
    ]
    if not names:
        raise NotApplicableError(
            f"no blocks are defined for {family}: name them as 'blocks' in a file of the form of {_SHIPPED.name} and "
            "set ground_truth.definitions to it"
        )
    return tuple(names)


class _Definition(BaseModel):
    """One entry of a file of definitions; ``last_blocks.yaml`` explains the fields."""

    networks: re.Pattern[str]
    block: list[str] = Field(min_length=1)
    blocks: list[str] = []


def _find_definition(model: LoadedModel, definitions: str | None) -> tuple[_Definition, str]:
    """Return the first definition that matches the family of a network, and the family; see `find_last_block`."""
    architecture = str(model.identity["architecture"]).rpartition("/")[2]  # without the owner of a hub id
    family = f"{model.identity['library']}/{architecture.partition('.')[0]}"  # and without the weights tag
    files = [_SHIPPED] if definitions is None else [expand_user(definitions), _SHIPPED]
    for definition in (entry for file in files for entry in _load_definitions(file)):
        if definition.networks.fullmatch(family):
            return definition, family
    raise NotApplicableError(
        f"no last block is defined for {family}: define it in a file of the form of {_SHIPPED.name} and set "
        "ground_truth.definitions to it"
    )


@lru_cache(maxsize=8)
def _load_definitions(path: Path) -> list[_Definition]:
    if not path.is_file():
        raise InputError(f"no file {path}: set ground_truth.definitions to a YAML file, or leave it out")
    text = read_text(path, _MAX_BYTES)
    try:
        # A few lines of nested aliases could expand until memory is full.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("aliases are not allowed")
        entries = yaml.safe_load(text)
    except Exception as error:  # the parser raises many types
        raise InputError(f"cannot read the YAML file {path}: {error}: correct it") from error
    try:
        return TypeAdapter(list[_Definition]).validate_python(entries)
    except ValidationError as error:
        problem = error.errors()[0]
        location = " ".join(str(part) for part in problem["loc"])
        raise InputError(
            f"{path} must be a list of entries with 'networks' (a regular expression) and 'block' (module names): "
            f"{location}: {problem['msg']}"
        ) from error


def _module_names(backbone: nn.Module, block: Sequence[str], family: str) -> tuple[str, ...]:
    """Return the names of modules of ``backbone`` for the entries of a definition, with slices expanded."""
    prefix, modules = _wrapped_prefix(backbone), dict(backbone.named_modules())
    resolved: list[str] = []
    for entry in block:
        parent, _, child = f"{prefix}{entry.rstrip('?')}".rpartition(".")
        if child.endswith(":") and not re.fullmatch(r"-?\d+:", child):
            raise InputError(
                f"'{entry}' in the last block of {family} is not a slice: write a whole number, as in '-1:'"
            )
        if child.endswith(":") and parent in modules:
            children = [name for name, _ in modules[parent].named_children()]
            names = [f"{parent}.{name}" for name in children[int(child[:-1]) :]]
        else:
            names = [f"{parent}.{child}".lstrip(".")]
        is_missing = not names or any(name not in modules for name in names)
        if is_missing and not entry.endswith("?"):
            raise NotApplicableError(f"{family} has no module '{entry}', which its last block should contain")
        resolved += [] if is_missing else names
    return tuple(resolved)


def _wrapped_prefix(backbone: nn.Module) -> str:
    """Return the prefix that the backbone adds to names of modules: ``network.``, ``trunk.`` or nothing."""
    return next((f"{name}." for name in _WRAPPED if isinstance(getattr(backbone, name, None), nn.Module)), "")
