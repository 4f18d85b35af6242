"""Check of the memory that a metric will need, before it allocates any: Linux kills a process that runs out of it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from transfer_exp.errors import InputError, format_apart

_GROUP = Path("/sys/fs/cgroup")
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
    if available is not None and _n_processes > 1 and needed > available / _n_processes:
        raise SharedMemoryError
    if available is not None and needed > available:
        need, free = format_apart(needed, available, lambda size, digits: f"{size / 1e9:.{digits + 1}f} GB")
        raise InputError(
            f"{metric} needs {need} of memory for this many images and classes, and {free} are free: score fewer "
            "images or classes, or use another metric"
        )


def available_memory() -> int | None:
    """Return the bytes that this process can still allocate, within the limit of its container; None if unknown."""
    limits = []
    with suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        limits.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]))
    with suppress(OSError, ValueError):  # no limit, or none set by control groups
        limits.append(int((_GROUP / "memory.max").read_text()) - int((_GROUP / "memory.current").read_text()))
    return min(limits, default=None)
