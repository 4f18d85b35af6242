"""Where a store keeps its files: in a folder, or behind a URL of an object store."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import fsspec
from fsspec import AbstractFileSystem

from transfer_exp.errors import InputError, one_line
from transfer_exp.io.atomic import write_atomically
from transfer_exp.store.backend_errors import reached
from transfer_exp.store.file_lock import FileLease
from transfer_exp.store.lock import Lease
from transfer_exp.store.object_lock import ObjectLease


@runtime_checkable
class Backend(Protocol):
    """Whole files by name; ``a/b`` is a file in the folder ``a``."""

    def has(self, name: str) -> bool:
        """Tell whether there is such a file."""
        ...

    def reading(self, name: str) -> AbstractContextManager[Path]:
        """Enter with a file of this machine that has the content.

        Raises
        ------
        FileNotFoundError
            When there is no such file.
        """
        ...

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Let ``write`` fill a file, and put it there in one step: readers see the old one, or the new one."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it, where there is one."""
        ...

    def lease(self, name: str, patience: float = 60.0) -> Lease:
        """Return a lease of that name, not yet taken."""
        ...

    def address(self, name: str) -> str:
        """Return the URL of a file, whether it is there or not."""
        ...

    def below(self, name: str) -> Backend:
        """Return a folder of this place as a place of its own; it need not be there."""
        ...


def open_backend(where: str | Path) -> Backend:
    """Return the place at a path, or at a URL that fsspec understands.

    Raises
    ------
    InputError
        When nothing that is installed understands the URL.
    """
    url = str(where)
    protocol = url.partition("://")[0]
    if protocol == url:
        return Folder(Path(where).expanduser())
    if protocol in ("file", "local"):
        return Folder(Path(url.partition("://")[2]))
    try:
        # Others write there as well: what was listed a while ago is not what is there.
        system, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise InputError(f"store={url} needs a package that is not installed: {one_line(str(error))}") from error
    except ValueError as error:
        raise InputError(f"store={url} cannot be used ({one_line(str(error))}): set store=FOLDER or a URL") from error
    return ObjectStore(system, root.rstrip("/"), url.rstrip("/"))


@dataclass(frozen=True)
class Folder:
    """A folder of this machine, or one that it shares with others."""

    root: Path

    def __str__(self) -> str:
        return str(self.root)

    def has(self, name: str) -> bool:
        """As `Backend`."""
        return (self.root / name).is_file()

    def reading(self, name: str) -> AbstractContextManager[Path]:
        """As `Backend`; the file itself, so that of a large one only what is wanted is read."""
        return nullcontext(self.root / name)

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """As `Backend`."""
        write_atomically(self.root / name, write)

    def remove(self, name: str) -> None:
        """As `Backend`; what cannot be removed stays."""
        path = self.root / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def lease(self, name: str, patience: float = 60.0) -> Lease:
        """As `Backend`; makes the folder it is in."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLease(path, patience)

    def address(self, name: str) -> str:
        """As `Backend`; of this machine alone."""
        return (self.root / name).absolute().as_uri()

    def below(self, name: str) -> Folder:
        """As `Backend`."""
        return Folder(self.root / name)


@dataclass(frozen=True)
class ObjectStore:
    """Objects of a bucket, or of whatever else fsspec reaches.

    Attributes
    ----------
    system, root
        As ``fsspec.core.url_to_fs`` gives them.
    url
        What was asked for, for messages.
    """

    system: AbstractFileSystem
    root: str
    url: str

    def __str__(self) -> str:
        return self.url

    def has(self, name: str) -> bool:
        """As `Backend`."""
        with reached(self.url):
            found: bool = self.system.isfile(f"{self.root}/{name}")
        return found

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """As `Backend`; a copy, gone at the end."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            with reached(self.url):
                self.system.get_file(f"{self.root}/{name}", str(path))
            yield path

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """As `Backend`: an object is there when all of it has arrived."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            write(path)
            with reached(self.url):
                self.system.put_file(str(path), f"{self.root}/{name}")

    def remove(self, name: str) -> None:
        """As `Backend`."""
        with reached(self.url), suppress(FileNotFoundError):
            self.system.rm(f"{self.root}/{name}", recursive=True)

    def lease(self, name: str, patience: float = 60.0) -> Lease:
        """As `Backend`."""
        return ObjectLease(self.system, f"{self.root}/{name}", self.url, patience)

    def address(self, name: str) -> str:
        """As `Backend`."""
        return f"{self.url}/{name}"

    def below(self, name: str) -> ObjectStore:
        """As `Backend`."""
        return ObjectStore(self.system, f"{self.root}/{name}", f"{self.url}/{name}")
