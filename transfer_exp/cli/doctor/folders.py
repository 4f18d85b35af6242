"""Where things are kept, and how large they are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from transfer_exp.cli.console import from_here, in_bytes
from transfer_exp.cli.doctor.fact import Fact
from transfer_exp.store.entries import entries

_MOST_FILES = 200_000
"""Files of a folder that are looked at for its size: some seconds on a slow disk."""


def store_at(root: Path) -> Fact:
    """Return the place and the size of the store."""
    if root.is_dir():
        found = list(entries(root))
        rights = "" if os.access(root, os.W_OK) else ", which can be read alone"
        return Fact(
            "store", f"{from_here(root)}, {len(found)} entries, {in_bytes(sum(e.bytes for e in found))}{rights}"
        )
    above = next(folder for folder in root.absolute().parents if folder.exists())
    if root.exists() or not (above.is_dir() and os.access(above, os.W_OK)):
        return Fact("store", f"{from_here(root)} cannot be made: set store=FOLDER", broken=True)
    return Fact("store", f"{from_here(root)}, not there yet")


def downloads() -> Iterator[Fact]:
    """Yield where downloads are kept, and how large they are."""
    places = {"data folder": Path(os.environ.get("TRANSFER_EXP_DATA", "data"))}
    if find_spec("huggingface_hub") is not None:
        from huggingface_hub import constants

        places["Hugging Face models"] = Path(constants.HF_HUB_CACHE)
        places["Hugging Face datasets"] = Path(
            os.environ.get("HF_DATASETS_CACHE", Path(constants.HF_HOME) / "datasets")
        )
    torch = sys.modules.get("torch")  # unless it could not be loaded, which was said
    if torch is not None:
        places["torch hub"] = Path(torch.hub.get_dir())
    for name, place in places.items():
        yield Fact(name, f"{from_here(place)}, {_size(place)}")


def _size(folder: Path) -> str:
    """Return the size of all files below a folder, each counted once however many links lead to it."""
    if not folder.is_dir():
        return "empty"
    total, files = 0, 0
    for place, _, names in os.walk(folder):
        for name in names:
            if files == _MOST_FILES:
                return f"more than {in_bytes(total)} ({files} files were looked at)"
            total += Path(place, name).lstat().st_size
            files += 1
    return f"{in_bytes(total)} in {files} files"
