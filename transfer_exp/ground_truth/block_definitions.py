"""The last block of a network, by family, as data says it; and keeping everything before it as it was."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from omegaconf import OmegaConf
from torch import Tensor, nn

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.io.text import read_text
from transfer_exp.model_pool.pool import LoadedModel

_LARGEST = 1 << 20
"""Bytes of a file of definitions."""
_SHIPPED = Path(__file__).with_name("last_blocks.yaml")
# Where each view of a network keeps what the library built; a view that is the network itself has neither.
_INNER = ("network", "trunk")


def last_block(model: LoadedModel, definitions: str | None = None) -> tuple[str, ...]:
    """Return the names of the modules of ``model.backbone`` that make up its last block, in running order.

    Parameters
    ----------
    model
        Its identity names library and architecture.
    definitions
        A YAML file of your own, in the form of ``last_blocks.yaml`` beside this module, that goes before it.

    Raises
    ------
    InputError
        When a file of definitions cannot be read or has another form.
    NotApplicableError
        When no definition fits the network, or one does but names a module that it lacks.
    """
    name = _family_name(model.identity)
    files = [_SHIPPED] if definitions is None else [Path(definitions).expanduser(), _SHIPPED]
    for networks, block in (entry for file in files for entry in _definitions(file)):
        if re.fullmatch(networks, name):
            return _resolved(model.backbone, block, name)
    raise NotApplicableError(
        f"no last block is known for {name}: say what it is in a file of the form of {_SHIPPED.name} and set "
        "ground_truth.definitions to it"
    )


class PartlyTrained(nn.Module):
    """A network of which one part is trained and the rest never changes, however often training mode is entered.

    Parameters outside the part need no gradient; its batch norms keep their statistics and its dropout passes
    everything.
    """

    def __init__(self, network: nn.Module, trained: Sequence[str]) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.trained = tuple(trained)
        for name in self.trained:
            network.get_submodule(name).requires_grad_(True)
        self.train(network.training)

    def forward(self, images: Tensor) -> Tensor:
        """Return what the network returns."""
        return self.network(images)

    def train(self, mode: bool = True) -> PartlyTrained:
        """Enter training (or evaluation) mode with the trained part alone."""
        super().train(False)
        self.training = mode
        for name in self.trained:
            self.network.get_submodule(name).train(mode)
        return self


def freeze(network: nn.Module, trained: Sequence[str]) -> PartlyTrained:
    """Return the network (changed in place) with everything frozen but some modules.

    Raises
    ------
    InputError
        When the network has no module of such a name.
    """
    known = dict(network.named_modules())
    missing = [name for name in trained if name not in known]
    if missing:
        raise InputError(f"{type(network).__name__} has no module '{missing[0]}' to train")
    return PartlyTrained(network, trained)


def _family_name(identity: Mapping[str, Any]) -> str:
    """Return ``library/architecture`` without weights tag and owner."""
    architecture = str(identity["architecture"]).rpartition("/")[2]
    return f"{identity['library']}/{architecture.partition('.')[0]}"


@lru_cache(maxsize=8)
def _definitions(path: Path) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Read pairs of pattern and module names."""
    if not path.is_file():
        raise InputError(f"no file {path}: set ground_truth.definitions to a YAML file, or leave it out")
    text = read_text(path, _LARGEST)
    try:
        # OmegaConf copies what an alias names: a few lines of aliases of aliases would fill the memory.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("aliases are not allowed")
        entries = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except Exception as error:  # the parser has many types of its own
        raise InputError(f"{path} is not YAML of plain data: {error}: correct it") from error
    if not isinstance(entries, list):
        raise InputError(f"{path} must be a list of entries with 'networks' and 'block'")
    return tuple(_definition(entry, path) for entry in entries)


def _definition(entry: Any, path: Path) -> tuple[str, tuple[str, ...]]:
    """Check one entry."""
    networks, block = (entry.get(key) for key in ("networks", "block")) if isinstance(entry, dict) else (None, None)
    names = [name for name in block if isinstance(name, str)] if isinstance(block, list) else []
    if not isinstance(networks, str) or not names or names != block:
        raise InputError(f"{path}: an entry needs 'networks' (a pattern) and 'block' (module names): {entry}")
    try:
        re.compile(networks)
    except re.error as error:
        raise InputError(f"{path}: '{networks}' is no regular expression: {error}") from error
    return networks, tuple(names)


def _resolved(backbone: nn.Module, block: Sequence[str], family: str) -> tuple[str, ...]:
    """Return names in the backbone for names in the network, slices spelled out."""
    inner = next((name for name in _INNER if isinstance(getattr(backbone, name, None), nn.Module)), "")
    modules = dict(backbone.named_modules())
    found: list[str] = []
    for wanted in block:
        owner, _, child = f"{inner}.{wanted.rstrip('?')}".lstrip(".").rpartition(".")
        if child.endswith(":") and owner in modules:
            children = [name for name, _ in modules[owner].named_children()]
            names = [f"{owner}.{name}" for name in children[int(child[:-1]) :]]
        else:
            names = [f"{owner}.{child}".lstrip(".")]
        missing = not names or any(name not in modules for name in names)
        if missing and not wanted.endswith("?"):
            raise NotApplicableError(f"{family} has no module '{wanted}', where its last block was said to be")
        found += [] if missing else names
    return tuple(found)
