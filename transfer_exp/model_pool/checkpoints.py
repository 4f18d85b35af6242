"""A folder of local state dicts described by a manifest; nothing in it is executed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from transfer_exp.errors import InputError, NotApplicableError, suggestion
from transfer_exp.model_pool.backbone import backbone_of
from transfer_exp.model_pool.manifest import Entry, read_manifest
from transfer_exp.model_pool.memory_limit import SizeBound
from transfer_exp.model_pool.pool import (
    Candidate,
    LoadedModel,
    ModelPool,
    Transform,
    chosen_names,
    fill_in,
    weights_digest,
)
from transfer_exp.model_pool.timm import transforms
from transfer_exp.model_pool.weight_file import read_tensors
from transfer_exp.vision import timm, torchvision


def checkpoints(
    root: str,
    names: Sequence[str] | None = None,
    architectures: str | None = None,
    largest_input: int | None = None,
    name: str | None = None,
) -> ModelPool:
    """Return a pool of the networks in a folder.

    Parameters
    ----------
    root
        Folder with ``manifest.json`` (see `transfer_exp.model_pool.manifest`) and state dicts, as safetensors or as
        torch files that hold tensors only.
    names
        Which entries, or all.
    architectures
        A Python file of yours that builds networks of other libraries than timm and torchvision. It is executed, so
        name it only if you trust it; without it such networks are skipped.
    largest_input
        Side in pixels that larger inputs of the manifest are brought down to, for features and fine-tuning alike;
        None keeps them.
    name
        The pool's name in tables; the folder's name when None.

    Raises
    ------
    InputError
        For a bad folder, manifest or file, an unknown name, or a side below 1.
    """
    if largest_input is not None and largest_input < 1:
        raise InputError(f"model_pool.largest_input={largest_input}: need a side in pixels, or null")
    folder = Path(root).expanduser()
    entries = read_manifest(folder)
    custom = _import(Path(architectures).expanduser()) if architectures else None
    chosen = chosen_names(names, entries, str(folder))
    entries = {n: _at_most(entries[n], largest_input) for n in chosen}
    candidates = tuple(Candidate(n, partial(_load, folder, n, entries[n], custom)) for n in chosen)
    return ModelPool(name or folder.resolve().name, candidates)


def _at_most(entry: Entry, side: int | None) -> Entry:
    """Return the entry with its input no larger than ``side``."""
    return entry if side is None else replace(entry, input_size=min(entry.input_size, side))


def _import(path: Path) -> ModuleType:
    """Run the user's own file of architectures."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InputError(f"no Python file {path}: set model_pool.architectures to one, or leave it out")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _load(folder: Path, name: str, entry: Entry, custom: ModuleType | None) -> LoadedModel:
    """Build the architecture and fill in its weights, every one of them."""
    path, build = folder / entry.file, _builder(name, entry, custom)
    state = _state(path)
    try:
        with SizeBound(path.stat().st_size):
            network: nn.Module = build(**entry.arguments)
    except Exception as error:  # a constructor may stumble over an argument in any way
        refusal = f"{entry.architecture} refuses its arguments {entry.arguments}: {error}"
        raise InputError(f"'{name}': {refusal}: correct them in the manifest") from error
    try:
        fill_in(network, state)
    except (RuntimeError, ValueError) as error:
        detail = " ".join(str(error).split())[:200]
        raise InputError(f"{path} does not fit {entry.architecture}: {detail}") from error
    identity = {
        "library": entry.library,
        "architecture": entry.architecture,
        "arguments": dict(entry.arguments),
        "weights": weights_digest(network),
    }
    backbone = backbone_of(network.eval(), entry.source_classes)
    plain, augmented = _transforms(network, entry)
    return LoadedModel(backbone, plain, identity, entry.batch_norm_folded, augmented=augmented)


def _builder(name: str, entry: Entry, custom: ModuleType | None) -> Callable[..., Any]:
    """Find a network, without weights, in timm, in torchvision, or in the user's own file."""
    builders: dict[str, tuple[Any, list[str]]] = {
        "timm": (partial(timm.create_model, entry.architecture, pretrained=False), timm.list_models()),
        "torchvision": (
            partial(torchvision.models.get_model, entry.architecture, weights=None),
            torchvision.models.list_models(module=torchvision.models),
        ),
    }
    if entry.library in builders:
        build, known = builders[entry.library]
    elif custom is None:
        raise NotApplicableError(
            f"its architecture comes from '{entry.library}', code that is not run unasked: "
            "if you trust it, set model_pool.architectures=FILE.py"
        )
    else:
        build, known = getattr(custom, entry.architecture, None), [n for n in vars(custom) if n[0] != "_"]
    if entry.architecture not in known:
        hint = suggestion(entry.architecture, known)
        raise InputError(f"'{name}': no architecture '{entry.architecture}' in {entry.library}: {hint}")
    return build


def _state(path: Path) -> dict[str, Tensor]:
    """Read a state dict without running anything: safetensors, or a torch file of tensors only."""
    if not path.is_file():
        raise InputError(f"no weights file {path}: correct the manifest or add the file")
    try:
        state = read_tensors(path)
    except Exception as error:  # either library raises many types; a refused pickle is one of them
        if path.suffix == ".safetensors":
            raise InputError(f"{path} is not a readable safetensors file: {error}: fetch it again") from error
        # torch goes on for many lines, and advises to run the file.
        reason = str(error).partition("\n")[0][:100] if isinstance(error, ValueError) else "damaged, or it holds code"
        raise InputError(f"{path} is not a torch file of tensors only ({reason}): convert it to safetensors") from error
    inner = state.get("state_dict", state) if isinstance(state, dict) else None
    if not isinstance(inner, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in inner.items()):
        raise InputError(f"{path} holds no state dict (names to tensors): save model.state_dict() alone")
    return inner


def _transforms(network: nn.Module, entry: Entry) -> tuple[Transform, Transform]:
    """Return the preprocessing of the manifest (shorter side resized, centre cropped, normalised), and it augmented."""
    settings = {
        "input_size": (3, entry.input_size, entry.input_size),
        "mean": entry.mean,
        "std": entry.std,
        "interpolation": entry.interpolation,
        "crop_pct": 1.0,
    }
    return transforms(network, settings)
