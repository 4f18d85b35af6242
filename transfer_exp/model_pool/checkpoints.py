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
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open

from transfer_exp.errors import InputError
from transfer_exp.io.code import script_digest
from transfer_exp.io.text import expand_user, read_json
from transfer_exp.model_pool.pool import Candidate, ModelPool, select_names

if TYPE_CHECKING:
    from transfer_exp.model_pool.loaded_model import LoadedModel

_LIMIT = 1 << 24
"""Largest manifest in bytes, and largest number of classes."""
# Arguments that would make a library download or unpickle something.
_FORBIDDEN = ("pretrained", "checkpoint", "weights", "cfg", "cache", "scriptable", "url", "path", "file")
_PLAIN = (bool, int, float, str)
_Number = Annotated[float, Field(gt=-1e9, lt=1e9)]
_Deviation = Annotated[float, Field(gt=0, lt=1e9)]


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


class CheckpointEntry(BaseModel):
    """One network of a manifest; further keys in the file are documentation and ignored.

    The descriptions of the fields are what messages ask for, by default text.

    Attributes:
        library: ``timm``, ``torchvision`` or a user-defined name.
        architecture, arguments: Name of the function in the library that builds the network; its keyword arguments.
        file: The state dict, relative to the folder.
        input_size, interpolation: Side in pixels to which images are resized, and the mode.
        mean, std: Normalisation per channel, for pixels in [0, 1].
        source_classes: S, or 0 if the network has no output for source classes, such as one that ends in a projection;
            None takes it from networks of timm and torchvision, and means 0 for others.
        batch_norm_folded: True when the batch norms are the identity and must stay in evaluation mode.
        weights_key: Where a file with several networks has the weights, such as ``state_dict_ema``, see `find_weights`.
        source_dataset: Name of the dataset that the network was pretrained on.
        licence: Licence of the weights; anything but text counts as unknown.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    library: str
    architecture: str
    file: str
    input_size: int = Field(ge=1, le=4096, description="a side in pixels, 1 to 4096")
    mean: tuple[_Number, _Number, _Number] = Field(strict=False, description="three numbers")
    std: tuple[_Deviation, _Deviation, _Deviation] = Field(strict=False, description="three numbers above 0")
    arguments: dict[str, Any] = Field({}, description="an object of keyword arguments")
    interpolation: Literal["nearest", "bilinear", "bicubic"] = Field(
        "bilinear", description="nearest, bilinear or bicubic"
    )
    source_classes: Annotated[int, Field(ge=0, le=_LIMIT)] | None = Field(
        None, description="a whole number, 0 if the network has no head for classes"
    )
    batch_norm_folded: bool = Field(False, description="true or false")
    weights_key: str | None = Field(None, description="text, the start of the names of the weights")
    source_dataset: str | None = None
    licence: Annotated[str | None, BeforeValidator(lambda value: value if isinstance(value, str) else None)] = None


def read_manifest(folder: Path) -> dict[str, CheckpointEntry]:
    """Read ``manifest.json`` of a folder: entries by name, in the order of the file.

    Raises:
        InputError: If the folder or manifest is missing, the manifest is not JSON or too large, or an entry is
            incomplete, has a wrong value, or refers to a file outside the folder.
    """
    path = folder / "manifest.json"
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: set model_pool.root to a folder of checkpoints")
    if not path.is_file():
        raise InputError(f"no {path}: describe the checkpoints there (docs/checkpoints.md shows how)")
    content = read_json(path, _LIMIT)
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path} must be a JSON object of one entry per network")
    return {name: _read_entry(f"{path}: '{name}'", raw, folder) for name, raw in content.items()}


def _read_entry(label: str, raw: Any, folder: Path) -> CheckpointEntry:
    raw = raw if isinstance(raw, dict) else {}
    try:
        entry = CheckpointEntry.model_validate(raw)
    except ValidationError as error:
        missing = [name for name, field in CheckpointEntry.model_fields.items() if field.is_required()]
        missing = [name for name in missing if name not in raw]
        if missing:
            raise InputError(f"{label} lacks {', '.join(missing)}: add what is missing") from error
        name = str(error.errors(include_input=False)[0]["loc"][0])
        requirement = CheckpointEntry.model_fields[name].description or "text"
        raise InputError(f"{label} has {name} {raw[name]!r}: need {requirement}") from error
    _check_file(label, entry.file, folder)
    for key, value in entry.arguments.items():
        items = value if isinstance(value, list) else [value]
        if any(word in key for word in _FORBIDDEN) or not all(isinstance(item, _PLAIN) for item in items):
            raise InputError(f"{label} has an argument that is not allowed: {key}={value!r}: leave it out")
    return entry


def _check_file(label: str, name: str, folder: Path) -> None:
    """Refuse names that no file can have, and files outside the folder."""
    try:
        path = (folder / name).resolve()
        path.stat()
    except FileNotFoundError:
        pass  # a missing file is an error only when its network is loaded
    except (OSError, ValueError, RuntimeError) as error:  # an impossible file name, or a cycle of links
        raise InputError(f"{label} names no file: {name!r}: correct it") from error
    if not path.is_relative_to(folder.resolve()):
        raise InputError(f"{label} names a file outside the folder: {name}: copy it into the folder")
