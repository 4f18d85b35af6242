"""Folders of results: each belongs to one command, and only one command at a time may write to it.

A folder that the user names may be used again. The same command continues there, such as a sweep that was killed.
Before another command, the files of the earlier one are moved to the folder ``earlier`` inside.
"""

from __future__ import annotations

import re
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path

from transfer_exp.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

RECORD, STATUS = "result.json", "status.json"
"""Files of a cell: its result, and how its job ended without one."""
_RESULTS = (
    *(RECORD, STATUS, "ranking.csv", "scatter.png", "rank.csv", "rank.parquet", "page.json", "report.html"),
    *("sweep.csv", "regimes.csv", "sweep.png", "multirun.yaml", "transfer_exp.log", ".hydra"),
)
_EARLIER, _LOCK = "earlier", ".lock"
_IS_EARLIER = re.compile(rf"{_EARLIER}(_\d+)?")


def create_folder(path: Path) -> Path:
    """Create a folder that did not exist, with the suffix ``_2``, ``_3``, ... if necessary, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        free = path if number == 1 else path.with_name(f"{path.name}_{number}")
        with suppress(FileExistsError):
            free.mkdir()
            break
    return free


def lock_folder(folder: Path, locks: ExitStack) -> None:
    """Lock a folder for this process until ``locks`` is closed or the process ends, however it ends; not on Windows.

    Raises:
        InputError: If another command has locked the folder.
    """
    if fcntl is None:
        return
    file = locks.enter_context((folder / _LOCK).open("w"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(
            f"{folder} is in use by another command: wait until it ends, or name another folder"
        ) from error
    except OSError:  # Some network file systems have no locks.
        pass


def cell_folders(folder: Path, depth: int | None = None) -> list[Path]:
    """Return the folders of the cells in or below a folder, without those of earlier commands in the same folder.

    A folder with the result of a run is a single cell, even with other folders below it.

    Args:
        folder: Folder of a run or a sweep.
        depth: Number of folders between ``folder`` and its cells; by default any number.
    """
    if depth is None and (folder / RECORD).is_file():
        return [folder]
    pattern = "**/" if depth is None else "*/" * depth
    paths = {path.parent for name in (RECORD, STATUS) for path in folder.glob(pattern + name)}
    return sorted(f for f in paths if not any(map(_IS_EARLIER.fullmatch, f.relative_to(folder).parts)))


def move_results(folder: Path, depth: int) -> Path | None:
    """Move the results in a folder, and its cells at a depth, to a new folder ``earlier`` inside.

    Other files stay. Returns the new folder, or None if there is nothing to move.
    """
    results = [folder / name for name in _RESULTS]
    paths = [path for path in (*results, *(cell_folders(folder, depth) if depth else ())) if path.exists()]
    if not paths:
        return None
    earlier = create_folder(folder / _EARLIER)
    for path in paths:
        moved = earlier / path.relative_to(folder)
        moved.parent.mkdir(parents=True, exist_ok=True)
        path.rename(moved)
    return earlier
