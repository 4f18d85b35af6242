"""The manifest of a checkpoint folder: what a stranger may say about a network, and nothing that runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from transfer_exp.errors import InputError
from transfer_exp.io.text import read_json

_INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
_PLAIN = (bool, int, float, str)
_LARGEST = 1 << 24
"""Bytes of a manifest, and classes of a network: no more than that."""
# Constructor arguments with which a library would fetch or unpickle something on its own.
_FORBIDDEN = ("pretrained", "checkpoint", "weights", "cfg", "cache", "scriptable", "url", "path", "file")


@dataclass(frozen=True)
class Entry:
    """One network of the folder.

    Attributes
    ----------
    library, architecture, arguments
        ``timm``, ``torchvision`` or a name of the user's own; the builder in it; its keyword arguments.
    file
        The state dict, relative to the folder.
    input_size, mean, std, interpolation
        Preprocessing: side in pixels, per-channel statistics on [0, 1], and ``nearest``, ``bilinear`` or ``bicubic``.
    source_classes
        S, or 0 for a network without a head.
    batch_norm_folded
        True when the batch norms are the identity and must stay in evaluation mode.
    """

    library: str
    architecture: str
    file: str
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    arguments: Mapping[str, Any]
    interpolation: str = "bilinear"
    source_classes: int = 0
    batch_norm_folded: bool = False


def read_manifest(folder: Path) -> dict[str, Entry]:
    """Read ``manifest.json`` of a folder: entries by name, in the order of the file.

    Raises
    ------
    InputError
        When the folder or manifest is missing, is not JSON or too large, or an entry is incomplete or asks for what is
        not allowed.
    """
    path = folder / "manifest.json"
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: set model_pool.root to a folder of checkpoints")
    if not path.is_file():
        raise InputError(f"no {path}: describe the checkpoints there (docs/checkpoints.md shows how)")
    content = read_json(path, _LARGEST)
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path} must be a JSON object of one entry per network")
    return {name: _entry(name, raw, path) for name, raw in content.items()}


def _entry(name: str, raw: Any, path: Path) -> Entry:
    """Check one entry; keys beyond those of `Entry` are documentation and pass unread."""
    known = {f.name for f in fields(Entry)}
    given = {k: v for k, v in raw.items() if k in known} if isinstance(raw, dict) else {}
    missing = [f for f in ("library", "architecture", "file", "input_size", "mean", "std") if f not in given]
    if missing:
        raise InputError(f"{path}: '{name}' lacks {', '.join(missing)}: add what is missing")
    given["arguments"] = given.get("arguments", {})
    _check(name, given, path)
    # As real numbers: 1 and 1.0 are one key of the store.
    mean, std = (tuple(float(value) for value in given[key]) for key in ("mean", "std"))
    return Entry(**{**given, "mean": mean, "std": std})


def _check(name: str, given: dict[str, Any], path: Path) -> None:
    """Refuse values of the wrong kind, files outside the folder, and arguments that reach for other files."""
    problem = _shape_problem(given) or _safety_problem(given, path.parent)
    if problem:
        raise InputError(f"{path}: '{name}' {problem}")


def _shape_problem(given: dict[str, Any]) -> str:
    """Say which value is not of its kind; empty when all are."""
    if not all(isinstance(given[key], str) for key in ("library", "architecture", "file")):
        return "needs text for library, architecture and file"
    if type(given["input_size"]) is not int or not 1 <= given["input_size"] <= 4096:
        return f"has input_size {given['input_size']!r}: need a side in pixels, 1 to 4096"
    for key in ("mean", "std"):
        triple = given[key]
        if not isinstance(triple, list) or len(triple) != 3 or not all(_is_number(v) for v in triple):
            return f"has {key} {triple!r}: need three numbers"
    if not all(deviation > 0 for deviation in given["std"]):
        return f"has std {given['std']!r}: need numbers above 0"
    if given.get("interpolation", "bilinear") not in _INTERPOLATIONS:
        return f"has interpolation {given['interpolation']!r}: choose one of {', '.join(_INTERPOLATIONS)}"
    classes = given.get("source_classes", 0)
    if type(classes) is not int or not 0 <= classes <= _LARGEST:
        return f"has source_classes {classes!r}: need a whole number, 0 for no head"
    if type(given.get("batch_norm_folded", False)) is not bool:
        return f"has batch_norm_folded {given['batch_norm_folded']!r}: need true or false"
    return ""


def _is_number(value: Any) -> bool:
    """Whether a value is a number that a network may compute with."""
    return type(value) in (int, float) and abs(value) < 1e9 and math.isfinite(value)


def _safety_problem(given: dict[str, Any], folder: Path) -> str:
    """Say what reaches outside the folder or into a library's own loading; empty when nothing does."""
    try:
        place = (folder / given["file"]).resolve()
        place.stat()
    except FileNotFoundError:
        pass  # said when the network is loaded
    except (OSError, ValueError, RuntimeError):  # what no file can be called, or links that lead in a circle
        return f"names no file: {given['file']!r}: correct it"
    if not place.is_relative_to(folder.resolve()):
        return f"names a file outside the folder: {given['file']}: copy it into the folder"
    arguments = given["arguments"]
    if not isinstance(arguments, dict):
        return "needs an object of keyword arguments under 'arguments'"
    for key, value in arguments.items():
        plain = isinstance(value, _PLAIN) or (
            isinstance(value, list) and all(isinstance(item, _PLAIN) for item in value)
        )
        if not plain or any(word in key for word in _FORBIDDEN):
            return f"has an argument that is not allowed: {key}={value!r}: leave it out"
    return ""
