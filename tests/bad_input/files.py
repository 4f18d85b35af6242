"""Writers of valid files, and of files that are damaged in one place."""

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
    """Return a writer of a file with this content."""
    raw = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(raw)


def sequence(*builds: Build) -> Build:
    """Return a writer that runs several writers in order."""
    return lambda folder: [build(folder) for build in builds]


def sparse(name: str, size: int) -> Build:
    """Return a writer of a large file that takes almost no space on the disk."""

    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("wb") as file:
            file.truncate(size)

    return make


def manifest(**changes: Any) -> Build:
    """Return a writer of a manifest of one entry with some values changed."""
    return text("manifest.json", json.dumps({"net": {**ENTRY, **changes}}))


def claiming(name: str, header: bytes, length: int | None = None) -> Build:
    """Return a writer of a safetensors file that has only a header, of any stated length."""
    return text(name, struct.pack("<Q", len(header) if length is None else length) + header)


class _Code:
    """An object whose pickle creates a file named trace when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("trace"),))


def pickled(name: str) -> Build:
    """Return a writer of a torch file with code in it."""
    return lambda folder: torch.save({"weight": _Code()}, folder / name)


def tensors(name: str, content: Any) -> Build:
    """Return a writer of a torch file."""
    return lambda folder: torch.save(content, folder / name)


def compressed(name: str) -> Build:
    """Return a writer of a torch file with compressed parts: a hundred megabytes of zeros in a few bytes."""

    def make(folder: Path) -> None:
        buffer = io.BytesIO()
        torch.save({"weight": torch.zeros(1 << 20)}, buffer)
        with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as file:
            for part in source.namelist():
                file.writestr(part, source.read(part))

    return make


def npz(name: str = "net.npz", **changes: Any) -> Build:
    """Return a writer of features and labels of eight samples, with some arrays changed, or removed if None."""
    content = {"features": np.arange(40.0).reshape(8, 5) ** 0.5, "labels": np.arange(8) % 2, **changes}
    return lambda folder: np.savez(folder / name, **{k: v for k, v in content.items() if v is not None})


def archive(name: str, member: str, content: bytes, compression: int = zipfile.ZIP_STORED) -> Build:
    """Return a writer of a zip file with one member."""

    def make(folder: Path) -> None:
        with zipfile.ZipFile(folder / name, "w", compression) as file:
            file.writestr(member, content)

    return make


def npy(shape: tuple[int, ...], descr: str, content: bytes) -> bytes:
    """Return a .npy file with this header, whether it fits the content or not."""
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    padded = header + b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + content


def zeros(name: str) -> Build:
    """Return a writer of an npz of a few hundred kilobytes that unpacks to a hundred megabytes."""
    return lambda folder: np.savez_compressed(folder / name, labels=np.zeros(100 << 17))


def pictures(folder: Path) -> Path:
    """Write two classes of three images, in two splits, into ``folder/images``."""
    root = folder / "images"
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            class_folder = root / split / label
            class_folder.mkdir(parents=True)
            for i in range(3):
                Image.new("RGB", (16, 16), (i * 9, 90, 200)).save(class_folder / f"{i}.png")
    return root


def damaged_picture(damage: Callable[[Path], object]) -> Build:
    """Return a writer of `pictures` that damages ``images/train/cat/1.png``."""
    return lambda folder: damage(pictures(folder) / "train" / "cat" / "1.png")


def bomb(path: Path) -> None:
    """Write a PNG of a few bytes whose header states a hundred million pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def link_out(path: Path) -> None:
    """Replace a file by a link to a file outside the folder of its dataset."""
    outside = path.parents[3] / "outside.png"
    path.rename(outside)
    path.symlink_to(outside)


def bare_pickle(name: str) -> Build:
    """Return a writer of a plain pickle with code in it."""
    return text(name, pickle.dumps({"weight": _Code()}, protocol=2))
