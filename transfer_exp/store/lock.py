"""Cross-process lock with a heartbeat; the lock of a process that stops renewing it is removed.

The lock is a small file. Its text names the holder and a counter, which the holder increases every quarter of
``timeout``. A waiting process removes a lock whose text has not changed for ``timeout`` seconds by its own monotonic
clock, so clocks that differ or jump do no harm. The lock of a dead process on the same machine is removed at once.

Two processes can hold one lock after the first was suspended for longer than the timeout. Files that are written under
a lock must tolerate that: each is written atomically, with the same content by every process.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from transfer_exp.errors import InputError
from transfer_exp.store.backend import Backend

_log = logging.getLogger(__name__)
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
"""Seconds between two attempts to acquire a lock; the pause grows while waiting."""


class Lock:
    """Context in which no other process holds the same lock. An object can be used once.

    Args:
        backend: Folder or object store of the lock file.
        name: Name of the lock file, such as ``features/ab/abcdef.lock``.
        timeout: Seconds without renewal after which the lock of another process is removed.
    """

    def __init__(self, backend: Backend, name: str, timeout: float = 60.0) -> None:
        self._backend, self._name, self._timeout = backend, name, timeout
        self._holder = f"{_host_and_namespace()} {os.getpid()} {uuid4().hex}"
        self._text = self._text_at(0)
        self._released = threading.Event()
        self._heartbeat = threading.Thread(target=self._renew_until_released, daemon=True)

    def acquire(self) -> None:
        """Wait until no other process holds the lock, and take it; InputError if its file cannot be created."""
        last_text, unchanged_since, pause = None, time.monotonic(), _SHORTEST_PAUSE
        while not self._backend.create(self._name, self._text):
            text = self._backend.read(self._name)
            if text != last_text:
                last_text, unchanged_since = text, time.monotonic()
            is_expired = time.monotonic() - unchanged_since > self._timeout
            if text is not None and (is_expired or is_dead(text)):
                self._backend.remove_if(self._name, text)
            elif is_expired:
                raise InputError(f"the lock {self._backend}/{self._name} can be neither created nor read: remove it")
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE, self._timeout / 4)
        self._heartbeat.start()

    def release(self) -> None:
        """Stop renewing the lock and remove its file, unless another process has taken the lock."""
        self._released.set()
        self._heartbeat.join()
        with suppress(InputError):  # Another process removes it after the timeout.
            self._backend.remove_if(self._name, self._text)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()

    def _renew_until_released(self) -> None:
        count = 0
        while not self._released.wait(self._timeout / 4):
            count += 1
            try:
                self._replace_text(self._text_at(count))
            except InputError as error:
                _log.warning("%s cannot be renewed (%s): others may repeat the same work", self._name, error)
                return

    def _replace_text(self, text: str) -> None:
        if self._backend.read(self._name) != self._text:
            raise InputError("another process has taken the lock")
        self._backend.write(self._name, lambda path: path.write_text(text))
        self._text = text

    def _text_at(self, count: int) -> str:
        return f"{self._holder} {count:09d}\n"


def _host_and_namespace() -> str:
    """Return a name for the set of processes that can see each other: a host, and a container on it."""
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return f"{socket.gethostname()}/{namespace}"


def is_dead(text: str) -> bool:
    """Return whether the holder in the text of a lock was a process of this machine that no longer exists."""
    machine, _, rest = text.partition(" ")
    process = rest.partition(" ")[0]
    if machine != _host_and_namespace() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False
