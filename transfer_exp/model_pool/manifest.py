"""Manifest of a folder of checkpoints: ``manifest.json`` describes each network. Nothing is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from transfer_exp.errors import InputError
from transfer_exp.io.text import read_json

_LIMIT = 1 << 24
"""Largest manifest in bytes, and largest number of classes."""
# Arguments that would make a library download or unpickle something.
_FORBIDDEN = ("pretrained", "checkpoint", "weights", "cfg", "cache", "scriptable", "url", "path", "file")
_PLAIN = (bool, int, float, str)
_Number = Annotated[float, Field(gt=-1e9, lt=1e9)]
_Deviation = Annotated[float, Field(gt=0, lt=1e9)]


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
