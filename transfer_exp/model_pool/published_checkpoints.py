"""Pools of checkpoint files as published by their authors, read without running code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_exp.errors import InputError, NotApplicableError, suggestion
from transfer_exp.io.text import expand_user
from transfer_exp.model_pool.pool import Candidate, ModelPool, select_names

if TYPE_CHECKING:
    from transfer_exp.model_pool.loaded_model import LoadedModel

_SUFFIXES = (".pth", ".pth.tar", ".pt", ".safetensors")


@dataclass(frozen=True)
class CheckpointSource:
    """The web page on which a checkpoint is published, and the name of its file there."""

    page: str
    file: str


def create_published_pool(
    name: str,
    sources: Mapping[str, CheckpointSource],
    load: Callable[[str, object, Path], LoadedModel],
    root: str,
    names: Sequence[str] | None = None,
    digests: Mapping[str, str] | None = None,
) -> ModelPool:
    """Return a pool of models whose files the user downloaded into a folder.

    Args:
        name: The name of the pool in tables.
        sources: The source of every available model, by model name.
        load: Function ``load(model_name, content, path)`` that builds a model; `read_checkpoint` reads the content.
        root: Folder with a file ``NAME.pth``, ``.pth.tar``, ``.pt`` or ``.safetensors`` for each model.
        names: The models to use, or None for all.
        digests: Expected sha256 of the files by model name; other files are not verified.

    Raises:
        InputError: If ``names`` or ``digests`` has an unknown model; on loading, if a model has two files, or its file
            does not match its sha256 or contains more than tensors, numbers, texts and containers of these.
        NotApplicableError: On loading, if the file is missing.
    """
    expected = digests or {}
    for model in expected:
        if model not in sources:
            raise InputError(f"model_pool.digests has the unknown model '{model}': {suggestion(model, sources)}")
    folder = expand_user(root)

    def load_file(model: str) -> LoadedModel:
        from transfer_exp.model_pool.weight_files import read_checkpoint  # imports torch

        path = _find_file(folder, model, sources[model])
        if model in expected:
            _check_digest(path, expected[model])
        return load(model, read_checkpoint(path), path)

    return ModelPool(name, tuple(Candidate(m, partial(load_file, m)) for m in select_names(names, sources, name)))


def _find_file(folder: Path, name: str, source: CheckpointSource) -> Path:
    # Not `with_suffix`, which would cut a name at its last dot.
    paths = [path for path in (folder / f"{name}{suffix}" for suffix in _SUFFIXES) if path.is_file()]
    if not paths:
        alternatives = ", ".join(_SUFFIXES[1:])
        raise NotApplicableError(
            f"no file {folder / name}{_SUFFIXES[0]} (or {alternatives}): get {source.file} from {source.page}"
        )
    if len(paths) > 1:
        raise InputError(f"{paths[0]} and {paths[1].name} both exist: delete one")
    return paths[0]


def _check_digest(path: Path, expected: str) -> None:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            total.update(chunk)
    if total.hexdigest() != expected.lower():
        raise InputError(
            f"{path} has sha256 {total.hexdigest()}, and model_pool.digests has {expected}: fetch the file again, or "
            "correct the digest"
        )
