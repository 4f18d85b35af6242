"""What decides a score besides the features: settings, files they name, and the code; as plain data, for a key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_LIBRARIES = ("numpy", "scipy", "scikit-learn")
_DIGITS = 16
"""Of a digest of code, enough to tell one from another."""


class UnknownSettingsError(Exception):
    """Something decides what an object computes, and cannot be told from outside."""


def fingerprint(thing: Any) -> Any:
    """Return plain data that two objects share only if they compute the same.

    Parameters
    ----------
    thing
        A frozen dataclass of plain values, others of its kind, and tuples of these: a metric, a perturbation. A file
        that a text names counts by its content.

    Raises
    ------
    UnknownSettingsError
        For anything else.
    """
    if thing is None or isinstance(thing, bool | int | float):
        return thing
    if isinstance(thing, str):
        return _text(thing)
    if isinstance(thing, tuple):
        return [fingerprint(item) for item in thing]
    if is_dataclass(thing) and not isinstance(thing, type):
        kind = type(thing)
        settings = {field.name: fingerprint(getattr(thing, field.name)) for field in fields(thing)}
        return {"type": f"{kind.__module__}.{kind.__qualname__}@{code_of(kind.__module__)[:_DIGITS]}", **settings}
    raise UnknownSettingsError(f"{type(thing).__name__} is no plain value")


def code_of(module: str) -> str:
    """Return the sha256 of all Python files of the package that a module is of, and the versions of what they rest on.

    Raises
    ------
    UnknownSettingsError
        When its files cannot be found, as in a notebook.
    """
    # Looked at each time, because who edits a metric may go on in the same process.
    told = ((path, path.stat()) for path in _sources(module.partition(".")[0]))
    return _content(tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in told))


@lru_cache(maxsize=8)
def _content(files: tuple[tuple[Path, int, int], ...]) -> str:
    total = hashlib.sha256(", ".join(f"{name} {version(name)}" for name in _LIBRARIES).encode())
    for path, *_ in files:
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _sources(package: str) -> Iterator[Path]:
    try:
        spec = find_spec(package)
    except ValueError as error:  # of __main__
        raise UnknownSettingsError(f"{package} has no files") from error
    if spec is None or not (spec.submodule_search_locations or spec.has_location):
        raise UnknownSettingsError(f"{package} has no files")
    if spec.submodule_search_locations is None:
        yield Path(str(spec.origin))
    for folder in spec.submodule_search_locations or ():
        yield from sorted(Path(folder).rglob("*.py"))


def _text(text: str) -> Any:
    try:
        path = Path(text).expanduser()
        if path.is_dir():
            raise UnknownSettingsError(f"{text} is a folder, whose files decide")
        return {"file": hashlib.sha256(path.read_bytes()).hexdigest()} if path.is_file() else text
    except (OSError, ValueError, RuntimeError):  # no path: too long, or with a NUL, or with a home nobody has
        return text
