"""Pool of the networks in a folder: state dicts, and a ``manifest.json`` that describes them. Nothing is executed."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from transfer_exp.errors import InputError, NotApplicableError, first_line, suggestion
from transfer_exp.io.code import script_digest
from transfer_exp.io.text import expand_user, read_json
from transfer_exp.model_pool.backbone import wrap_network
from transfer_exp.model_pool.pool import Candidate, LoadedModel, ModelPool, hash_weights, load_weights, select_names
from transfer_exp.model_pool.preprocessing import create_transforms
from transfer_exp.model_pool.weight_files import TIMM_CONTAINERS, SizeLimit, find_weights, read_weight_file
from transfer_exp.vision import timm, torchvision

_log = logging.getLogger(__name__)
_LIMIT = 1 << 24
"""Largest manifest in bytes, and largest number of classes."""
# Arguments that would make a library download or unpickle something.
_FORBIDDEN = ("pretrained", "checkpoint", "weights", "cfg", "cache", "scriptable", "url", "path", "file")
_PLAIN = (bool, int, float, str)
_REQUIREMENTS = {
    "library": "text",
    "architecture": "text",
    "file": "text",
    "input_size": "a side in pixels, 1 to 4096",
    "mean": "three numbers",
    "std": "three numbers above 0",
    "arguments": "an object of keyword arguments",
    "interpolation": "nearest, bilinear or bicubic",
    "source_classes": "a whole number, 0 if the network has no head for classes",
    "batch_norm_folded": "true or false",
    "weights_key": "text, the start of the names of the weights",
    "source_dataset": "text",
}
_Number = Annotated[float, Field(gt=-1e9, lt=1e9)]
_Deviation = Annotated[float, Field(gt=0, lt=1e9)]


class CheckpointEntry(BaseModel):
    """One network of a manifest; further keys in the file are documentation and ignored.

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
    """

    model_config = ConfigDict(strict=True, frozen=True)

    library: str
    architecture: str
    file: str
    input_size: Annotated[int, Field(ge=1, le=4096)]
    mean: Annotated[tuple[_Number, _Number, _Number], Field(strict=False)]
    std: Annotated[tuple[_Deviation, _Deviation, _Deviation], Field(strict=False)]
    arguments: dict[str, Any] = {}
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"
    source_classes: Annotated[int, Field(ge=0, le=_LIMIT)] | None = None
    batch_norm_folded: bool = False
    weights_key: str | None = None
    source_dataset: str | None = None


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
        architectures: Python file that builds networks of other libraries than timm and torchvision. It is executed, so
            give only a file that you trust; without it such networks are skipped.
        largest_input: Largest input side in pixels; larger sides of the manifest are reduced to it.
        name: The name of the pool in tables; the name of the folder when None.

    Raises:
        InputError: If the folder, the manifest or a file is missing or invalid, or a name or side is impossible.
    """
    if largest_input is not None and largest_input < 1:
        raise InputError(f"model_pool.largest_input={largest_input}: need a side in pixels, or null")
    folder = expand_user(root)
    entries = read_manifest(folder)
    custom = _import_architectures(expand_user(architectures)) if architectures else None
    selected = select_names(names, entries, str(folder))
    if largest_input is not None:
        sides = {n: min(entry.input_size, largest_input) for n, entry in entries.items()}
        entries = {n: entry.model_copy(update={"input_size": sides[n]}) for n, entry in entries.items()}
    counts = {n: partial(_count_parameters, folder / entries[n].file) for n in selected}
    candidates = tuple(Candidate(n, partial(_load, folder, n, entries[n], custom), counts[n]) for n in selected)
    return ModelPool(name or folder.resolve().name, candidates)


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
        raise InputError(f"{label} has {name} {raw[name]!r}: need {_REQUIREMENTS[name]}") from error
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


class Architectures(NamedTuple):
    """A Python file of the user that builds networks, and the digest of its code, which decides what they compute."""

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
    """Return the approximate number of parameters of four bytes in a file; None if the file is missing."""
    return path.stat().st_size // 4 if path.is_file() else None


def _load(folder: Path, name: str, entry: CheckpointEntry, custom: Architectures | None) -> LoadedModel:
    path, build = folder / entry.file, _find_builder(name, entry, custom)
    content = _read_content(path)
    try:
        with SizeLimit(path.stat().st_size):
            network: nn.Module = build(**entry.arguments)
    except Exception as error:  # constructors raise many types for bad arguments
        refusal = f"{entry.architecture} refuses its arguments {entry.arguments}: {error}"
        raise InputError(f"'{name}': {refusal}: correct them in the manifest") from error
    try:
        load_weights(network, _find_weights(content, network, entry))
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path} does not fit {entry.architecture}: {first_line(error)}") from error
    identity = entry.model_dump(include={"library", "architecture", "arguments"}) | {"weights": hash_weights(network)}
    if custom is not None and entry.library not in ("timm", "torchvision"):
        identity["code"] = custom.digest
    settings = entry.model_dump(include={"mean", "std", "interpolation"})
    settings |= {"input_size": (3, entry.input_size, entry.input_size), "crop_pct": 1.0}
    backbone = wrap_network(network.eval(), entry.source_classes)
    transform, augmented = create_transforms(network, settings)
    return LoadedModel(
        backbone,
        transform,
        identity,
        entry.batch_norm_folded,
        augmented=augmented,
        source_dataset=entry.source_dataset,
    )


def _find_builder(name: str, entry: CheckpointEntry, custom: Architectures | None) -> Callable[..., Any]:
    """Return the function that builds a network without weights, from timm, torchvision or the user's file."""
    build: Any
    if entry.library == "timm":
        build, available = partial(timm.create_model, entry.architecture, pretrained=False), timm.list_models()
    elif entry.library == "torchvision":
        build = partial(torchvision.models.get_model, entry.architecture, weights=None)
        available = torchvision.models.list_models(module=torchvision.models)
    elif custom is None:
        raise NotApplicableError(
            f"its architecture comes from '{entry.library}', whose code is not run without your permission: "
            "if you trust it, set model_pool.architectures=FILE.py"
        )
    else:
        build = getattr(custom.module, entry.architecture, None)
        available = [public for public in vars(custom.module) if public[0] != "_"]
    if entry.architecture not in available:
        hint = suggestion(entry.architecture, available)
        raise InputError(f"'{name}': no architecture '{entry.architecture}' in {entry.library}: {hint}")
    return build


def _read_content(path: Path) -> object:
    """Read a safetensors file, or a torch file of tensors and plain values, without running code."""
    if not path.exists():
        raise InputError(f"no weights file {path}: correct the manifest or add the file")
    try:
        # Training scripts save their options in a namespace; loading a namespace runs no code.
        content: object = read_weight_file(path, [argparse.Namespace])
        return content
    except Exception as error:  # both libraries raise many types; one of them is for a refused pickle
        if path.suffix == ".safetensors":
            raise InputError(f"{path} is not a readable safetensors file: {error}: fetch it again") from error
        # The message of torch has many lines, and advises to run the file.
        code = re.search(r"(?:GLOBAL|global:?|class) ([a-zA-Z_]\w*(?:\.\w+)+)", str(error))
        reason = first_line(error) if isinstance(error, ValueError) else "damaged, or it holds code"
        reason += f": {code[1]}" if code and not isinstance(error, ValueError) else ""
        raise InputError(
            f"{path} is not a torch file of tensors only ({reason}): save model.state_dict() alone, or convert it to "
            "safetensors"
        ) from error


def _find_weights(content: object, network: nn.Module, entry: CheckpointEntry) -> Mapping[str, Tensor]:
    """Return the weights of a network from the content of a file, with timm's own conversion of names if it helps."""
    expected = network.state_dict()
    try:
        return find_weights(content, expected, entry.weights_key)[0]
    except ValueError:
        convert = getattr(sys.modules.get(type(network).__module__), "checkpoint_filter_fn", None)
        if entry.library != "timm" or convert is None or entry.weights_key or not isinstance(content, Mapping):
            raise
        state = next((content[key] for key in TIMM_CONTAINERS if isinstance(content.get(key), Mapping)), content)
        try:
            return find_weights(convert(dict(state), network), expected)[0]
        except Exception:  # the function expects the layout of the authors and raises many types for any other
            _log.debug("timm's conversion does not apply", exc_info=True)
        raise
