"""A lock between processes and machines that outlives nobody: its holder must go on saying that it is there.

Who waits takes a lease away that has not changed for too long *by the clock of who waits*: clocks that differ or jump
do no harm. A lease of this machine whose process is gone is taken away at once.

Two may end up with one lease when its holder was stopped for long and then goes on. What is kept under a lease must
bear that: whole files, each written in one step, with the same content whoever writes it.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from uuid import uuid4

from transfer_exp.errors import InputError

_log = logging.getLogger(__name__)
_POLL, _LONGEST_POLL = 0.02, 1.0


class Lease(ABC):
    """One at a time: a context that is entered when no other holder is left.

    Parameters
    ----------
    name
        Where it is, for messages.
    patience
        Seconds without a sign of life after which another holder counts as dead.
    """

    def __init__(self, name: str, patience: float) -> None:
        self.name, self.patience = name, patience
        self._holder = f"{_here()} {os.getpid()} {uuid4().hex}"
        self._over = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True)

    def take(self) -> None:
        """Wait until the lease is free, and hold it.

        Raises
        ------
        OSError, InputError
            When it cannot be made there.
        """
        seen, since, pause = "", time.monotonic(), _POLL
        while not self._made(self._said(0)):
            now = self._read()
            if now is None:
                continue
            if now != seen:
                seen, since = now, time.monotonic()
            if is_dead(now) or time.monotonic() - since > self.patience:
                self._take_away(now)
                continue
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_POLL, self.patience / 4)
        self._beats.start()

    def give_back(self) -> None:
        """Let others have the lease, unless it was taken away."""
        self._over.set()
        self._beats.join()
        self._remove()

    def __enter__(self) -> None:
        """As `take`."""
        self.take()

    def __exit__(self, *error: object) -> None:
        """As `give_back`."""
        self.give_back()

    @abstractmethod
    def _made(self, said: str) -> bool:
        """Make the lease, saying this, and tell whether that was possible: only one can."""

    @abstractmethod
    def _read(self) -> str | None:
        """Return what the lease says, or None when there is none."""

    @abstractmethod
    def _renew(self, said: str) -> None:
        """Say something new in the lease that was made here, and in no other that came in its place."""

    @abstractmethod
    def _remove(self) -> None:
        """Remove the lease that was made here, and no other that came in its place."""

    @abstractmethod
    def _take_away(self, said: str) -> None:
        """Remove the lease of a dead holder, who said this, and no other that came in its place meanwhile."""

    def _beat(self) -> None:
        """Say again and again that the holder lives."""
        count = 0
        while not self._over.wait(self.patience / 4):
            count += 1
            try:
                self._renew(self._said(count))
            except (OSError, InputError) as error:
                _log.warning("%s cannot be renewed (%s): others may do the same work again", self.name, error)
                return

    def _said(self, count: int) -> str:
        return f"{self._holder} {count:09d}\n"


def _here() -> str:
    """Name the set of processes that can see each other: a host, and a container on it."""
    try:
        space = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        space = 0
    return f"{socket.gethostname()}/{space}"


def is_dead(said: str) -> bool:
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
