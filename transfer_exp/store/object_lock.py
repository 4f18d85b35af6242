"""A lease that is an object of an object store."""

from __future__ import annotations

from fsspec import AbstractFileSystem

from transfer_exp.store.backend_errors import reached
from transfer_exp.store.lock import Lease


class ObjectLease(Lease):
    """An object that is put where there is none, and put anew while the work goes on; gone when nobody holds it.

    Object stores can put what is not there (S3's ``If-None-Match``), and no more: between a look at the lease and what
    is done to it somebody else may have been there. Then two hold it, which `Lease` allows.

    Parameters
    ----------
    system
        Where the object is.
    path
        Its name there.
    url
        Of the store, for messages.
    patience
        As `Lease`.
    """

    def __init__(self, system: AbstractFileSystem, path: str, url: str, patience: float = 60.0) -> None:
        super().__init__(path, patience)
        self._system, self._path, self._url = system, path, url
        self._last = ""

    def _made(self, said: str) -> bool:
        if self._read() is not None:
            return False
        try:
            with reached(self._url):
                self._system.pipe_file(self._path, said.encode(), mode="create")
        except FileExistsError:
            return False
        self._last = said
        # Where a server does not know the condition the last to put it has it, and the others find out here.
        return self._holds()

    def _read(self) -> str | None:
        try:
            with reached(self._url):
                content: bytes = self._system.cat_file(self._path)
        except FileNotFoundError:
            return None
        return content.decode(errors="replace")

    def _renew(self, said: str) -> None:
        if not self._holds():
            raise FileNotFoundError(f"{self._path} is another's by now")
        with reached(self._url):
            self._system.pipe_file(self._path, said.encode())
        self._last = said

    def _remove(self) -> None:
        self._take_away(self._last)

    def _take_away(self, said: str) -> None:
        if self._read() == said:
            try:
                with reached(self._url):
                    self._system.rm_file(self._path)
            except FileNotFoundError:
                pass

    def _holds(self) -> bool:
        return self._read() == self._last
