"""Description of the code and the machine of a run, for trackers."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from transfer_exp.version import __version__

_DRIVER = Path("/proc/driver/nvidia/gpus")
_SECONDS = 5.0
"""Time limit of a git command; a repository on a slow disk has no commit in the record."""


def describe_environment() -> dict[str, Any]:
    """Return versions, the git commit of the working folder, and hardware as plain nested values."""
    return {
        "version": {"transfer_exp": __version__, "python": platform.python_version()},
        "git": describe_git(Path.cwd()),
        "hardware": {
            "platform": platform.platform(),
            "cpu_count": os.cpu_count(),
            "memory_gb": _memory_gb(),
            "gpu": ", ".join(gpu_names()) or None,
        },
    }


def describe_git(folder: Path) -> dict[str, Any]:
    """Return the commit of a folder's repository, and whether a file in it was changed; empty without a repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules")
    return {"commit": commit, "dirty": None if changed is None else bool(changed)}


def gpu_names() -> list[str]:
    """Return the names of the NVIDIA GPUs of this machine, which its driver lists (Linux)."""
    try:
        texts = [path.read_text(encoding="utf-8") for path in sorted(_DRIVER.glob("*/information"))]
    except OSError:
        return []
    return [match[1].strip() for match in (re.search(r"^Model:(.*)$", text, re.M) for text in texts) if match]


def _git(folder: Path, *arguments: str) -> str | None:
    """Return the output of a git command that changes nothing and runs no program of the repository's settings."""
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None
    return done.stdout.strip()


def _memory_gb() -> float | None:
    """Return the memory of the machine in GiB, or None where the system does not tell it."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3, 1)
    except (AttributeError, ValueError, OSError):
        return None
