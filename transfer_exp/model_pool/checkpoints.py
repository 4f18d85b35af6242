"""Pool of the networks in a folder: state dicts, and a ``manifest.json`` that describes them.

Weights are read without running code. Only a Python file that the user names as ``architectures`` is executed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from math import prod
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from safetensors import SafetensorError, safe_open

from transfer_exp.errors import InputError
from transfer_exp.io.code import script_digest
from transfer_exp.io.text import expand_user
from transfer_exp.model_pool.manifest import CheckpointEntry, read_manifest
from transfer_exp.model_pool.pool import Candidate, ModelPool, select_names

if TYPE_CHECKING:
    from transfer_exp.model_pool.loaded_model import LoadedModel


def checkpoints(
    root: str,
    names: Sequence[str] | None = None,
    architectures: str | None = None,
    largest_input: int | None = None,
    name: str | None = None,
) -> ModelPool:
    """Return a pool of the networks in a folder.

    Args:
        root: Folder with ``manifest.json`` (`CheckpointEntry`) and state dicts: safetensors or torch files of tensors.
        names: The entries to use, or None for all.
        architectures: Python file that builds the networks that neither timm nor torchvision has. It is executed,
            so give only a file that you trust; without it such networks are skipped.
        largest_input: Largest input side in pixels; larger sides of the manifest are reduced to it.
        name: The name of the pool in tables; the name of the folder when None.

    Raises:
        InputError: If the folder, the manifest or a file is missing or invalid, a name is not in the manifest, or
            ``largest_input`` is below 1.
    """
    if largest_input is not None and largest_input < 1:
        raise InputError(f"model_pool.largest_input={largest_input}: need a side in pixels, or null")
    folder = expand_user(root)
    entries = read_manifest(folder)
    module = _import_architectures(expand_user(architectures)) if architectures else None
    selected = select_names(names, entries, str(folder))
    if largest_input is not None:
        sizes = {model: min(entry.input_size, largest_input) for model, entry in entries.items()}
        entries = {model: entry.model_copy(update={"input_size": sizes[model]}) for model, entry in entries.items()}
    candidates = tuple(_candidate(folder, model, entries[model], module) for model in selected)
    return ModelPool(name or folder.resolve().name, candidates)


def _candidate(folder: Path, name: str, entry: CheckpointEntry, architectures: Architectures | None) -> Candidate:
    """Return the candidate of an entry; its weights are read when it is loaded."""
    load = partial(_load, folder, name, entry, architectures)
    return Candidate(name, load, partial(_count_parameters, folder / entry.file), lambda: entry.licence)


class Architectures(NamedTuple):
    """A Python file of the user that builds networks, and the hash of its code, which is part of every cache key."""

    module: ModuleType
    digest: str


def _import_architectures(path: Path) -> Architectures:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InputError(f"no Python file {path}: set model_pool.architectures to one, or leave it out")
    module, code = importlib.util.module_from_spec(spec), script_digest(path)
    spec.loader.exec_module(module)
    return Architectures(module, code)


def _count_parameters(path: Path) -> int | None:
    """Return the number of values in a safetensors file, a quarter of the bytes of others, or None without a file."""
    if not path.is_file():
        return None
    if path.suffix == ".safetensors":
        with suppress(SafetensorError, OSError), safe_open(path, framework="numpy") as file:
            return sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 (no mapping)
    return path.stat().st_size // 4


def _load(folder: Path, name: str, entry: CheckpointEntry, architectures: Architectures | None) -> LoadedModel:
    from transfer_exp.model_pool.checkpoint_networks import load_checkpoint  # imports torch

    return load_checkpoint(folder, name, entry, architectures)
