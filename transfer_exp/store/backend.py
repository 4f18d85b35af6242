"""File access of the store: a local folder, or an object store behind a URL."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from transfer_exp.errors import InputError, SharedInputError, one_line
from transfer_exp.io.atomic import replace_file
from transfer_exp.io.text import expand_user, open_regular

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Backend:
    """Files by name in a folder or an object store, where ``a/b`` is a file in the folder ``a``.

    The methods raise InputError if the disk or the object store refuses (no space, no access).

    Attributes:
        location: Path or URL, for messages.
        system, root: File system of fsspec, and the path of the store on it.
    """

    location: str
    system: AbstractFileSystem
    root: str

    def __str__(self) -> str:
        return self.location

    @property
    def is_local(self) -> bool:
        """Whether this is a folder of the machine, or one that it shares with others."""
        return isinstance(self.system, LocalFileSystem)

    def check(self) -> None:
        """Raise InputError if the folder cannot be read or created, or the object store does not answer."""
        if not self.is_local:
            self.exists("accuracies.csv")  # any name: the question is whether the store answers
            return
        with self._errors():
            Path(self.root).mkdir(parents=True, exist_ok=True)
            os.scandir(self.root).close()

    def exists(self, name: str) -> bool:
        """Return whether the file exists."""
        with self._errors():
            return bool(self.system.isfile(self._path(name)))

    @contextmanager
    def local_file(self, name: str) -> Iterator[Path]:
        """Enter with the path of a local file with the content of the named one.

        Raises FileNotFoundError if it is missing, and ValueError if it is not a regular file; InputError for a folder.
        """
        self.refuse_folder(name)
        if self.is_local:
            path = Path(self._path(name))
            with self._errors(FileNotFoundError):
                try:
                    open_regular(path).close()
                except InputError as error:
                    raise ValueError(str(error)) from error
            yield path
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / Path(name).name
            with self._errors(FileNotFoundError):
                self.system.get_file(self._path(name), str(copy))
            yield copy

    def write(self, name: str, save: Callable[[Path], object]) -> None:
        """Let ``save`` write a temporary file, then replace the named file by it in one step."""
        self.refuse_folder(name)
        if self.is_local:
            with self._errors():
                replace_file(Path(self._path(name)), save)
            return
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / Path(name).name
            save(temporary)
            with self._errors():
                self.system.put_file(str(temporary), self._path(name))

    def refuse_folder(self, name: str) -> None:
        """Raise InputError if a local folder has the name of a file, which could be neither read nor written."""
        if self.is_local and (path := Path(self._path(name))).is_dir():
            raise SharedInputError(f"{path} is a folder where the store needs a file: remove it")

    def _refuse_file(self, path: str | bytes) -> None:
        """Raise InputError if the store, or a folder on the way to it or to one of its paths, is a file."""
        folders = [*reversed(Path(os.fsdecode(path)).parents), *reversed(Path(self.root).parents), Path(self.root)]
        for folder in folders:
            if folder.is_file():
                raise SharedInputError(
                    f"{folder} is a file where the store needs a folder: remove it, or set store=FOLDER"
                )

    def create(self, name: str, text: str) -> bool:
        """Create a file with this text, and return False if it exists already.

        An object store without conditional puts (S3's ``If-None-Match``) overwrites: then the last writer gets True.
        """
        if self.read(name) is not None:
            return False
        with suppress(FileExistsError), self._errors(FileExistsError):
            if self.is_local:
                _create_local(Path(self._path(name)), text)
            else:
                self.system.pipe_file(self._path(name), text.encode(), mode="create")
        return self.read(name) == text

    def read(self, name: str) -> str | None:
        """Return the text of a lock, or None if it does not exist.

        Only regular files are opened: a FIFO would block, and a symbolic link may point to nothing.
        """
        path = self._path(name)
        with suppress(FileNotFoundError), self._errors(FileNotFoundError):
            if self.is_local and not stat.S_ISREG(Path(path).lstat().st_mode):
                raise InputError(f"{path} is not a regular file, so it cannot be a lock: remove it")
            content: bytes = self.system.cat_file(path)
            return content.decode(errors="replace")
        return None

    def list_files(self, folder: str) -> list[str]:
        """Return the sorted names of all files below a folder; empty if there is none."""
        path = self._path(folder)
        with suppress(FileNotFoundError), self._errors(FileNotFoundError):
            return sorted(f"{folder}{file.partition(path.lstrip('/'))[2]}" for file in self.system.find(path))
        return []

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with its content, if it exists."""
        with suppress(FileNotFoundError), self._errors(FileNotFoundError):
            self.system.rm(self._path(name), recursive=True)

    def remove_if(self, name: str, text: str) -> None:
        """Remove a file if it still has this text.

        In a local folder no two processes can do so at the same time: of several that read the text of a lock, a slow
        one would otherwise remove the lock that a faster one has created meanwhile.
        """
        if not self.is_local or fcntl is None:
            if self.read(name) == text:
                self.remove(name)
            return
        path = self._path(name)
        with suppress(FileNotFoundError), self._errors(FileNotFoundError), Path(path).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            is_same_file = os.path.samestat(os.fstat(file.fileno()), Path(path).lstat())
            if is_same_file and file.read().decode(errors="replace") == text:
                Path(path).unlink()

    def file_url(self, name: str) -> str:
        """Return the URL of a file, which need not exist."""
        return Path(self._path(name)).as_uri() if self.is_local else f"{self.location}/{name}"

    def subfolder(self, name: str) -> Backend:
        """Return the backend of a folder, which need not exist."""
        return Backend(f"{self.location}/{name}", self.system, self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    @contextmanager
    def _errors(self, *except_for: type[Exception]) -> Iterator[None]:
        """Turn errors of the disk or the object store, except some, into one line."""
        try:
            yield
        except Exception as error:  # Each client of an object store has its own classes of errors.
            if isinstance(error, (InputError, *except_for)) or (self.is_local and not isinstance(error, OSError)):
                raise
            if self.is_local:
                self._refuse_file(getattr(error, "filename", None) or "")
            reason = getattr(error, "strerror", None) or one_line(str(error)) or type(error).__name__
            message = f"cannot use the store {self} ({reason}): check space and access, or set store=FOLDER"
            raise SharedInputError(message) from error


def open_backend(location: str | Path) -> Backend:
    """Return the backend of a path or URL; InputError if it cannot be used."""
    url = str(location)
    protocol, separator, path = url.partition("://")
    if not separator or protocol in ("file", "local"):
        folder = expand_user(path if separator else location)
        return Backend(str(folder), LocalFileSystem(), str(folder.absolute()))
    if "::" in url:  # some of fsspec's chained file systems run templates inside files
        raise InputError(f"store={url} chains several file systems: set store to a folder, or the URL of one")
    try:
        # Other processes write to the same store: a cached listing of files would be out of date.
        system, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except Exception as error:  # each file system has its own classes of errors
        reason = one_line(str(error)) or type(error).__name__
        raise InputError(f"store={url} cannot be used ({reason}): install its package, or set store=FOLDER") from error
    return Backend(url.rstrip("/"), system, root.rstrip("/"))


def _create_local(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("x")
    try:
        with file:
            file.write(text)
    except OSError:  # A full disk would leave an empty file.
        path.unlink()
        raise
