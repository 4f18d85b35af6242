"""Image files: which files are images, safe reading, and datasets of one file for each image."""

from __future__ import annotations

import hashlib
import logging
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Bool, Int
from PIL import Image

from transfer_exp.dataset.image_decoding import FORMATS, ImageDecoder, register_plugins
from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.errors import InputError
from transfer_exp.statistics.feature_set import Targets

# Text or data could begin with the short signatures of other formats.
_SIGNED = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "HEIF", "JPEG2000", "PSD", "QOI", "ICNS", "DDS")
_SIGNATURE_BYTES = 16
MAX_BYTES = 1 << 30
"""Largest image file; the largest image that Pillow allows needs less in every format."""
_HEIF_SUFFIXES = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
# Raw photos are TIFF files; Pillow would read only a preview.
_RAW_SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw", ".orf", ".pef"}
    | {".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
_OTHER_IMAGE_SUFFIXES = frozenset({".ai", ".dcm", ".dicom", ".exr", ".hdr", ".jxl", ".jxr", ".svg", ".xcf"})
_NO_PICTURES = ("BUFR", "GRIB", "HDF5", "MPEG", "PDF")
NOT_IMAGES = "not images"
"""Reason for passing over files that nobody would take for images, see `passed_over_reason`."""
REMEDY = "remove it or set dataset.on_unreadable=skip"
_MAX_NAMES = 5
_log = logging.getLogger(__name__)


def is_image(path: Path) -> bool:
    """Return whether a file is to be read as an image: by its suffix, or else by its first bytes.

    Suffixes count in any capitals. A file whose suffix Pillow does not know, or without a suffix, is an image if its
    content begins like one. Only regular files are opened, and at most their header is read.
    """
    register_plugins()
    suffix = path.suffix.lower()
    try:
        if not stat.S_ISREG(path.stat().st_mode) or suffix in _RAW_SUFFIXES:
            return False
        if suffix in Image.registered_extensions():
            return Image.registered_extensions()[suffix] in FORMATS
        with path.open("rb") as file:
            start = file.read(_SIGNATURE_BYTES)
            return any(_has_signature(format, start) for format in _SIGNED) or _opens(file)
    except OSError:
        # The reader names a missing file or missing permissions.
        return suffix in Image.registered_extensions() and path.is_file()


def _has_signature(format: str, start: bytes) -> bool:
    """Return whether a file that begins with these bytes is of a format; an unsupported variant is not."""
    accept = Image.OPEN[format][1] if format in Image.OPEN else None
    return accept is not None and accept(start) is True


def _opens(file: BinaryIO) -> bool:
    """Return whether the header of a file is that of a BMP or PPM, whose signatures have two letters only."""
    with suppress(Exception), Image.open(file, formats=("BMP", "PPM")):
        return True
    return False


def passed_over_reason(path: Path) -> str:
    """Return why a file that is not an image by `is_image` is not read, as a phrase in the plural."""
    suffix = path.suffix.lower()
    if not path.is_file():
        return "not regular files"
    if suffix in _HEIF_SUFFIXES:
        return "HEIF images, which need: pip install pillow-heif"
    register_plugins()
    is_picture = Image.registered_extensions().get(suffix, "PDF") not in _NO_PICTURES
    if suffix in _RAW_SUFFIXES | _OTHER_IMAGE_SUFFIXES or is_picture:
        return "images of a format that is not read, convert them to PNG"
    return NOT_IMAGES


def read_bytes(path: Path) -> bytes:
    """Return the content of a file; raises InputError if it cannot be read or is larger than `MAX_BYTES`."""
    try:
        status = path.stat()
        # A pipe or device could block for ever.
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path} is not a regular file: remove it")
        if status.st_size > MAX_BYTES:
            raise InputError(f"{path} has {status.st_size} bytes, more than {MAX_BYTES}: is it an image?")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}): restore it or check its permissions") from error


def check_inside(folder: Path, paths: Iterable[Path]) -> None:
    """Raise InputError if a link or a ``..`` in a list of files leads out of a dataset's folder."""
    root, parents = folder.resolve(), dict[Path, Path]()
    for path in paths:
        if path.parent not in parents:
            parents[path.parent] = path.parent.resolve()
        # Many files share few parents, and resolving every file would take seconds.
        resolved = path.resolve() if path.is_symlink() else parents[path.parent] / path.name
        if not resolved.is_relative_to(root):
            raise InputError(f"{path} leads out of {folder}, to {resolved}: copy it into the folder, or leave it out")


def is_skip(on_unreadable: str) -> bool:
    """Return True for ``on_unreadable=skip`` and False for ``refuse``; raises InputError for other values."""
    if on_unreadable not in ("refuse", "skip"):
        raise InputError(f"dataset.on_unreadable={on_unreadable} must be refuse or skip")
    return on_unreadable == "skip"


def find_readable(images: LabelledImages, source: str) -> Bool[np.ndarray, " samples"]:
    """Decode every image, log one warning with the unreadable ones, and return a mask of the readable ones."""
    damaged = [i for i in range(len(images)) if not _is_readable(images, i)]
    if damaged:
        names = ", ".join(images.name(i) for i in damaged[:_MAX_NAMES]) + (", ..." if len(damaged) > _MAX_NAMES else "")
        _log.warning("left out %d unreadable image(s) of %s: %s", len(damaged), source, names)
    mask = np.ones(len(images), dtype=bool)
    mask[damaged] = False
    return mask


def _is_readable(images: LabelledImages, i: int) -> bool:
    with suppress(InputError):
        images.read(i)
        return True
    return False


def load_files(
    paths: Sequence[Path],
    labels: Int[np.ndarray, " samples"],
    remedy: str,
    targets: Targets | None = None,
    decoder: ImageDecoder | None = None,
) -> LabelledImages:
    """Return images of one file each, see `load_encoded`."""
    return load_encoded(lambda i: read_bytes(paths[i]), labels, lambda i: str(paths[i]), remedy, targets, decoder)


def load_encoded(
    content: Callable[[int], bytes],
    labels: Int[np.ndarray, " samples"],
    name: Callable[[int], str],
    remedy: str,
    targets: Targets | None = None,
    decoder: ImageDecoder | None = None,
) -> LabelledImages:
    """Return images that are decoded on reading; the fingerprint is the content and what else decides the pixels.

    An image whose content differs from the first time it was read is refused: a cached value would not fit its key.

    Args:
        content: Function of a position that returns the content of an image file.
        labels, name, targets: Attributes of `LabelledImages`.
        remedy: Advice in error messages.
        decoder: Decoder that the splits of a dataset share; by default a new one.
    """
    decoder = decoder or ImageDecoder()
    digests: dict[int, bytes] = {}

    def read_content(i: int) -> bytes:
        encoded = content(i)
        digest = hashlib.sha256(encoded).digest()
        if digests.setdefault(i, digest) != digest:
            raise InputError(f"{name(i)} has changed since this run began: start the run again")
        return encoded

    def fingerprint(i: int) -> bytes:
        encoded = read_content(i)
        return encoded + decoder.cache_key_suffix(encoded)

    decoder.add_range_source(len(labels), read_content)
    return LabelledImages(
        labels, lambda i: decoder.decode(read_content(i), name(i), remedy), fingerprint, targets, name
    )
