"""Digests of source code, for keys of cached values that the code decides."""

from __future__ import annotations

import ast
import hashlib
import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import lru_cache, partial
from importlib.machinery import PathFinder
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

from transfer_exp.io.text import expand_user

_log = logging.getLogger(__name__)
_LIBRARIES = ("numpy", "scipy", "scikit-learn")
_INSTALLED = {"site-packages", "dist-packages"}
_PACKAGE = "transfer_exp"
_digests: dict[str, str] = {}
"""Digest of each package's files when this process first needed it."""
_PROCESS = uuid4().hex


class UncacheableError(Exception):
    """Raised for an object whose result depends on something that a cache key cannot hold."""


def outside_code(value: object) -> dict[str, str]:
    """Return ``{"code": digest}`` of what lies outside of this package and decides what an object computes.

    That is the code of a function, or of the class of an object and of its fields, and files that its fields name. The
    dictionary is empty if there is nothing outside. Code without source files gets a digest that no other process has.
    """
    try:
        digests = sorted(set(_outside_digests(value)))
    except UncacheableError as reason:
        _log.warning("results are not reused by later runs: %s", reason)
        return {"code": _PROCESS}
    return {"code": hashlib.sha256(" ".join(digests).encode()).hexdigest()} if digests else {}


def _outside_digests(value: object) -> Iterator[str]:
    while isinstance(value, partial):
        value = value.func
    module = getattr(value, "__module__", None) or "builtins"
    if module.partition(".")[0] not in (_PACKAGE, "builtins"):
        yield code_digest(module)
    if is_dataclass(value) and not isinstance(value, type):
        for item in (getattr(value, field.name) for field in fields(value)):
            if is_dataclass(item):
                yield from _outside_digests(item)
            elif isinstance(item, str) and Path(item).suffix and expand_user(item).is_file():
                yield hashlib.sha256(expand_user(item).read_bytes()).hexdigest()


def code_digest(module: str) -> str:
    """Return a sha256 of all Python files of the package that holds a module, and of the numeric libraries' versions.

    Modules that these files import count too, except installed ones.

    Raises:
        UncacheableError: If the files cannot be found, for example for a class defined in a notebook, or were edited
            while this process runs: it may have imported the code before or after the edit.
    """
    package = module.partition(".")[0]
    try:
        spec = find_spec(package)
    except ValueError:  # __main__ has no spec
        spec = None
    if spec is None or not (spec.submodule_search_locations or spec.has_location):
        raise UncacheableError(f"the source files of {package} cannot be found")
    folders = spec.submodule_search_locations
    files = [Path(str(spec.origin))] if folders is None else [p for f in folders for p in sorted(Path(f).rglob("*.py"))]
    current = file_digest(files if package == _PACKAGE else _with_imports(files))
    if _digests.setdefault(package, current) != current:
        raise UncacheableError(f"{package} was edited while this process runs")
    return current


def file_digest(files: Iterable[Path]) -> str:
    """Return a sha256 of the content of files in order, and of the numeric libraries' versions."""
    stats = [(path, path.stat()) for path in files]
    return _digest_of_files(tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats))


def script_digest(path: Path) -> str:
    """Return the `file_digest` of a Python file and of the modules that it imports, except installed ones."""
    return file_digest(_with_imports([path]))


@lru_cache(maxsize=8)
def _digest_of_files(files: tuple[tuple[Path, int, int], ...]) -> str:
    total = hashlib.sha256(", ".join(f"{name} {version(name)}" for name in _LIBRARIES).encode())
    for path, *_ in files:
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _with_imports(files: Iterable[Path]) -> list[Path]:
    """Return Python files, followed by those of the modules that they import, directly or not, in a fixed order."""
    files_in_order = dict.fromkeys(files)
    waiting = list(files_in_order)
    while waiting:
        path = waiting.pop(0)
        stat = path.stat()
        new = [file for file in _imported_files(path, stat.st_mtime_ns, stat.st_size) if file not in files_in_order]
        files_in_order |= dict.fromkeys(new)
        waiting += new
    return list(files_in_order)


@lru_cache(maxsize=4096)
def _imported_files(path: Path, modified: int, size: int) -> tuple[Path, ...]:
    """Return the files of the modules that one file imports and that are neither installed nor of this package."""
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError):  # of another version of Python
        return ()
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and node.level == 0]
    packages = sorted({name.partition(".")[0] for name in names} - {_PACKAGE, *sys.stdlib_module_names})
    return tuple(file for package in packages for file in _local_files(package, path.parent))


def _local_files(package: str, folder: Path) -> list[Path]:
    """Return the Python files of a top-level package or module, none if it is installed or cannot be found."""
    spec = PathFinder.find_spec(package, [str(folder), *sys.path])
    if spec is None:
        return []
    if spec.submodule_search_locations is None:
        files = [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") else []
    else:
        folders = [Path(f) for f in spec.submodule_search_locations if not _INSTALLED & set(Path(f).parts)]
        files = [file for f in folders for file in sorted(f.rglob("*.py"))]
    return [file for file in files if not _INSTALLED & set(file.parts)]
