"""Sound files, each of which a kind of bad input spoils in one place."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

ENTRY: dict[str, Any] = {
    "library": "timm",
    "architecture": "test_resnet",
    "arguments": {"num_classes": 5},
    "file": "net.safetensors",
    "input_size": 32,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.2, 0.2],
}
Build = Callable[[Path], object]


def text(name: str, content: str | bytes) -> Build:
    """Return what writes a file."""
    whole = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(whole)


def both(*builds: Build) -> Build:
    """Return what does one after the other."""
    return lambda folder: [build(folder) for build in builds]


def sparse(name: str, size: int) -> Build:
    """Return what makes a file of many bytes that takes no room on the disk."""

    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("wb") as file:
            file.truncate(size)

    return make


def manifest(**changes: Any) -> Build:
    """Return what writes a manifest of one entry with some values changed."""
    return text("manifest.json", json.dumps({"net": {**ENTRY, **changes}}))


def claiming(name: str, header: bytes, length: int | None = None) -> Build:
    """Return what writes a safetensors file of a header alone, which may claim any length."""
    return text(name, struct.pack("<Q", len(header) if length is None else length) + header)


class _Code:
    """A pickle that leaves a file named trace when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("trace"),))


def pickled(name: str) -> Build:
    """Return what writes a torch file with code in it."""
    return lambda folder: torch.save({"weight": _Code()}, folder / name)


def tensors(name: str, content: Any) -> Build:
    """Return what writes a torch file."""
    return lambda folder: torch.save(content, folder / name)


def compressed(name: str) -> Build:
    """Return what writes a torch file whose parts are compressed: a hundred megabytes of zeros in a few bytes."""

    def make(folder: Path) -> None:
        whole = io.BytesIO()
        torch.save({"weight": torch.zeros(1 << 20)}, whole)
        with zipfile.ZipFile(whole) as stored, zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as file:
            for part in stored.namelist():
                file.writestr(part, stored.read(part))

    return make


def npz(name: str = "net.npz", **changes: Any) -> Build:
    """Return what writes features and labels of eight samples, some arrays changed, or left out where None."""
    content = {"features": np.arange(40.0).reshape(8, 5) ** 0.5, "labels": np.arange(8) % 2, **changes}
    return lambda folder: np.savez(folder / name, **{k: v for k, v in content.items() if v is not None})


def archive(name: str, member: str, content: bytes, compression: int = zipfile.ZIP_STORED) -> Build:
    """Return what writes a zip file of one member."""

    def make(folder: Path) -> None:
        with zipfile.ZipFile(folder / name, "w", compression) as file:
            file.writestr(member, content)

    return make


def npy(shape: tuple[int, ...], descr: str, content: bytes) -> bytes:
    """Return an array file whose header says what it likes."""
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    padded = header + b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + content


def zeros(name: str) -> Build:
    """Return what writes an npz of a few hundred kilobytes that unpacks to a hundred megabytes."""
    return lambda folder: np.savez_compressed(folder / name, labels=np.zeros(100 << 17))


def pictures(folder: Path) -> Path:
    """Write two classes of three images, in two splits, into ``folder/images``."""
    root = folder / "images"
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            place = root / split / label
            place.mkdir(parents=True)
            for i in range(3):
                Image.new("RGB", (16, 16), (i * 9, 90, 200)).save(place / f"{i}.png")
    return root


def spoiled(spoil: Callable[[Path], object]) -> Build:
    """Return what writes `pictures` and spoils ``images/train/cat/1.png``."""
    return lambda folder: spoil(pictures(folder) / "train" / "cat" / "1.png")


def bomb(path: Path) -> None:
    """Write a PNG of a few bytes whose header promises a hundred million pixels, of which none is there."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def link_out(path: Path) -> None:
    """Put a link in the place of a file, to another outside the folder of its dataset."""
    outside = path.parents[3] / "outside.png"
    path.rename(outside)
    path.symlink_to(outside)


def bare_pickle(name: str) -> Build:
    """Return what writes a pickle with code in it as it is."""
    return text(name, pickle.dumps({"weight": _Code()}, protocol=2))
