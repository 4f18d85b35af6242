"""Memory of this process: a check before a metric allocates much, and reuse of what networks free.

Linux kills a process that runs out of memory.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from transfer_exp.errors import InputError, format_apart

_GROUP = Path("/sys/fs/cgroup")
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Numbers of settings of ``mallopt`` (the header malloc.h of glibc)."""
_STEP = 64 * 1024**2
"""Bytes that the process asks the system for at least; the memory for a network then has fewer gaps."""
_n_processes = 1


class SharedMemoryError(BaseException):
    """Raised in one of several processes where the memory may suffice for a single one, which then tries again.

    It is not an `Exception`, because it says nothing about the metric or the model.
    """


def share_memory(processes: int) -> None:
    """Let `check_memory` count only the share of this process, one of several that allocate at the same time."""
    global _n_processes
    _n_processes = processes


def check_memory(metric: str, numbers: float) -> None:
    """Raise `InputError` if a metric needs more memory than is available; do nothing where that is not known.

    Args:
        metric: Name of the metric.
        numbers: How many float64 numbers it holds at the same time.

    Raises:
        SharedMemoryError: After `share_memory`, instead of InputError.
    """
    needed, available = 8 * numbers, available_memory()
    if available is not None and needed > available / _n_processes:
        _return_freed_memory()
        available = available_memory()
    if available is not None and _n_processes > 1 and needed > available / _n_processes:
        raise SharedMemoryError
    if available is not None and needed > available:
        need, free = format_apart(needed, available, lambda size, digits: f"{size / 1e9:.{digits + 1}f} GB")
        raise InputError(
            f"{metric} needs {need} of memory for this many images and classes, and {free} are free: score fewer "
            "images or classes, or use another metric"
        )


@cache
def keep_freed_memory() -> bool:
    """Let this process keep all memory that it frees, and return whether that is possible (with glibc, so on Linux).

    By default, glibc returns every block above 32 MiB to the system. The activations of a network are such blocks, and
    the system then clears the same memory again for each batch, which can take longer than the network itself. The
    environment variables of glibc win: nothing is changed if one of them is set.
    """
    is_set = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    set_option = None if is_set else _function_of_glibc("mallopt")
    settings = {_TRIM_THRESHOLD: -1, _TOP_PAD: _STEP, _MMAP_MAX: 0}
    return set_option is not None and all(set_option(number, value) for number, value in settings.items())


def _return_freed_memory() -> None:
    """Return the memory that this process has kept after `keep_freed_memory` to the system, as far as possible."""
    if (trim := _function_of_glibc("malloc_trim")) is not None:
        trim(0)


def _function_of_glibc(name: str) -> Callable[..., int] | None:
    """Return a function of the C library of this process, or None if it has none of this name."""
    with suppress(OSError, AttributeError, TypeError):
        return getattr(ctypes.CDLL(None), name)
    return None


def available_memory() -> int | None:
    """Return the bytes that this process can still allocate, within the limit of its container; None if unknown."""
    limits = []
    with suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        limits.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]))
    with suppress(OSError, ValueError):  # no limit, or none set by control groups
        limits.append(int((_GROUP / "memory.max").read_text()) - int((_GROUP / "memory.current").read_text()))
    return min(limits, default=None)
