"""Checkpoint files as their authors publish them: under a model's own name, checked, read without running anything."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from transfer_exp.errors import InputError, NotApplicableError, suggestion
from transfer_exp.model_pool.pool import Candidate, LoadedModel, ModelPool, chosen_names
from transfer_exp.model_pool.weight_file import read_tensors

_ENDINGS = (".pth", ".pth.tar", ".pt", ".safetensors")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Source:
    """Where a checkpoint is published.

    Attributes
    ----------
    page, file
        Where to get it, and what it is called there.
    """

    page: str
    file: str


def author_files(
    name: str,
    sources: Mapping[str, Source],
    load: Callable[[str, object, Path], LoadedModel],
    root: str,
    names: Sequence[str] | None = None,
    digests: Mapping[str, str] | None = None,
) -> ModelPool:
    """Return a pool of models whose files somebody else has put into a folder.

    Parameters
    ----------
    name
        The pool's, in tables.
    sources
        Every model there could be, by name.
    load
        Makes the model of a name, what its file holds, and the file's path.
    root
        Folder with a file ``NAME.pth``, ``.pth.tar``, ``.pt`` or ``.safetensors`` for each.
    names
        Which of them, or all.
    digests
        The sha256 that a file must have, by name; none need be given.

    Raises
    ------
    InputError
        For an unknown name; on loading, for a file that is there twice, has another digest, or holds more than tensors
        and plain values.
    NotApplicableError
        On loading, when there is no file.
    """
    pinned = digests or {}
    for model in pinned:
        if model not in sources:
            raise InputError(f"no model '{model}' to pin the digest of: {suggestion(model, sources)}")
    folder = Path(root).expanduser()

    def loaded(model: str) -> LoadedModel:
        path = _path(folder, model, sources[model])
        if model in pinned:
            _check_digest(path, pinned[model])
        return load(model, _content(path), path)

    return ModelPool(name, tuple(Candidate(m, partial(loaded, m)) for m in chosen_names(names, sources, name)))


def _path(folder: Path, name: str, source: Source) -> Path:
    """Return the one file of a model."""
    # Not `with_suffix`, which would take the end off a name with a dot in it.
    found = [path for path in (folder / f"{name}{ending}" for ending in _ENDINGS) if path.is_file()]
    if not found:
        others = ", ".join(_ENDINGS[1:])
        raise NotApplicableError(
            f"no file {folder / name}{_ENDINGS[0]} (or {others}): get {source.file} from {source.page}"
        )
    if len(found) > 1:
        raise InputError(f"{found[0]} and {found[1].name} are both there: keep one")
    return found[0]


def _check_digest(path: Path, expected: str) -> None:
    """Refuse a file that is not the one whose digest was pinned."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    if total.hexdigest() != expected.lower():
        raise InputError(f"{path} has sha256 {total.hexdigest()}, and model_pool.digests has {expected}")


def _content(path: Path) -> object:
    """Read a file without running anything that is in it."""
    try:
        # PyContrast's predecessor saves the options of its script. A namespace is attributes with values and has no
        # code that loading would run; each value is still refused unless it is a tensor or plain.
        content: object = read_tensors(path, [argparse.Namespace])
        return content
    except Exception as error:  # either library raises many types; a refused pickle is one of them
        raise InputError(
            f"{path} is damaged, or holds more than tensors and plain values: save its state dict alone"
        ) from error
