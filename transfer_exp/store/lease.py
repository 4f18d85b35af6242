"""A lock between processes and machines that outlives nobody: its holder must go on saying that it is there.

Kernel locks do not hold on every shared folder, and a bare file stays when its owner is killed. So a lease is a file
that is made in one step, and written anew again and again while the work goes on. Who waits takes a lease away that has
not changed for too long *by the clock of who waits*: clocks that differ or jump do no harm. A lease of this machine
whose process is gone is taken away at once.

Two may end up with one lease when its holder was stopped for long and then goes on. What is kept under a lease must
bear that: whole files, each written in one step, with the same content whoever writes it.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from pathlib import Path
from uuid import uuid4

_log = logging.getLogger(__name__)
_POLL, _LONGEST_POLL = 0.02, 1.0


class Lease:
    """One at a time: a context that is entered when no other holder is left.

    Parameters
    ----------
    path
        The lease itself, in a folder that is there. It is gone when nobody holds it.
    patience
        Seconds without a sign of life after which another holder counts as dead.
    """

    def __init__(self, path: Path, patience: float = 60.0) -> None:
        self.path, self.patience = path, patience
        self._name = f"{_here()} {os.getpid()} {uuid4().hex}"
        self._file = -1
        self._over = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True)

    def take(self) -> None:
        """Wait until the lease is free, and hold it.

        Raises
        ------
        OSError
            When no file can be made there.
        """
        seen, since, pause = "", time.monotonic(), _POLL
        while not self._made():
            now = _read(self.path)
            if now is None:
                continue
            if now != seen:
                seen, since = now, time.monotonic()
            if _is_dead(now) or time.monotonic() - since > self.patience:
                _take_away(self.path, now)
                continue
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_POLL, self.patience / 4)
        self._beats.start()

    def give_back(self) -> None:
        """Let others have the lease, unless it was taken away."""
        self._over.set()
        self._beats.join()
        own = os.fstat(self._file)
        os.close(self._file)
        try:
            if os.path.samestat(own, self.path.stat()):
                self.path.unlink()
        except FileNotFoundError:
            pass

    def __enter__(self) -> None:
        """As `take`."""
        self.take()

    def __exit__(self, *error: object) -> None:
        """As `give_back`."""
        self.give_back()

    def _made(self) -> bool:
        """Make the file, and say whether that was possible: only one can."""
        try:
            self._file = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        self._write(0)
        return True

    def _beat(self) -> None:
        """Say again and again that the holder lives: through the open file, which stays its own if it is taken away."""
        count = 0
        while not self._over.wait(self.patience / 4):
            count += 1
            try:
                self._write(count)
            except OSError as error:
                _log.warning("%s cannot be renewed (%s): others may do the same work again", self.path, error)
                return

    def _write(self, count: int) -> None:
        os.pwrite(self._file, f"{self._name} {count:09d}\n".encode(), 0)
        os.fsync(self._file)


def _here() -> str:
    """Name the set of processes that can see each other: a host, and a container on it."""
    try:
        space = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        space = 0
    return f"{socket.gethostname()}/{space}"


def _read(path: Path) -> str | None:
    """Return what a lease says, or None when it is gone."""
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None


def _is_dead(said: str) -> bool:
    """Tell whether the holder was a process of this machine that is there no more."""
    here, _, rest = said.partition(" ")
    process = rest.partition(" ")[0]
    if here != _here() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


def _take_away(path: Path, said: str) -> None:
    """Remove the lease of a dead holder, and no other that may have come in its place meanwhile."""
    aside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    try:
        if _read(aside) != said:
            os.link(aside, path)  # somebody lives: it is theirs again
    except FileExistsError:
        pass
    finally:
        aside.unlink()
