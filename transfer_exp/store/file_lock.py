"""A lease that is a file of a folder, this machine's or one that several share.

Kernel locks do not hold on every shared folder, and a bare file stays when its owner is killed: see `Lease`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from uuid import uuid4

from transfer_exp.store.lock import Lease, is_dead

_SILENCE = 3600.0
"""Seconds without a sign of life after which a holder is dead even by a clock that is not that of who waits."""


class FileLease(Lease):
    """A file that is made in one step, and written anew while the work goes on; gone when nobody holds it.

    Parameters
    ----------
    path
        The file, in a folder that is there.
    patience
        As `Lease`.
    """

    def __init__(self, path: Path, patience: float = 60.0) -> None:
        super().__init__(str(path), patience)
        self.path = path
        self._file = -1

    def is_held(self) -> bool:
        """Tell at a glance whether somebody seems to hold the lease.

        A holder of another machine counts as dead after an hour: a glance does not see for how long it is silent.
        """
        said = _read(self.path)
        return said is not None and not is_dead(said) and _age(self.path) < _SILENCE

    def try_take(self) -> bool:
        """Hold the lease unless `is_held`, without waiting, and tell whether that is so.

        Raises
        ------
        OSError
            When no file can be made there.
        """
        said = _read(self.path)
        if said is not None and not self.is_held():
            self._take_away(said)
        if not self._made(self._said(0)):
            return False
        self._beats.start()
        return True

    def _made(self, said: str) -> bool:
        try:
            self._file = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        self._renew(said)
        return True

    def _read(self) -> str | None:
        return _read(self.path)

    def _renew(self, said: str) -> None:
        # Through the open file, which stays this holder's own if it is taken away.
        os.pwrite(self._file, said.encode(), 0)
        os.fsync(self._file)

    def _remove(self) -> None:
        own = os.fstat(self._file)
        os.close(self._file)
        try:
            if os.path.samestat(own, self.path.stat()):
                self.path.unlink()
        except FileNotFoundError:
            pass

    def _take_away(self, said: str) -> None:
        aside = self.path.with_name(f".{self.path.name}.{uuid4().hex}")
        try:
            self.path.rename(aside)
        except FileNotFoundError:
            return
        try:
            if _read(aside) != said:
                os.link(aside, self.path)  # somebody lives: it is theirs again
        except FileExistsError:
            pass
        finally:
            aside.unlink()


def _read(path: Path) -> str | None:
    """Return what a lease says, or None when it is gone."""
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None


def _age(path: Path) -> float:
    """Return for how many seconds a lease has not been written, 0 when it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
