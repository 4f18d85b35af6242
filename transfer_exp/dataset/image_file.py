"""Safe reading of image files: decoders that run no code, one RGB convention, and errors with the file name."""

from __future__ import annotations

import logging
import stat
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Bool, Int
from PIL import Image

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.errors import InputError

# Pillow detects formats by content. Only these decoders are allowed: others run programs (EPS calls Ghostscript), or
# hold no pictures. TGA has no signature, so that it is tried last.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000", "MPO", "PPM", "PSD", "QOI"),
    *("ICO", "CUR", "ICNS", "DDS", "DIB", "PCX", "SGI", "SUN", "XBM", "XPM", "TGA"),
)
# Text or data could begin with the short signatures of other formats.
_SIGNED = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "HEIF", "JPEG2000", "PSD", "QOI", "ICNS", "DDS")
_SIGNATURE_BYTES = 16
MAX_BYTES = 1 << 30
"""Largest image file; the largest image that Pillow allows needs less in every format."""
_HEIF_SUFFIXES = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
# Raw photos are TIFF files, of which Pillow would read a preview.
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


@cache
def register_plugins() -> None:
    """Load Pillow's decoders, and that of HEIF if ``pillow-heif`` is installed."""
    Image.init()
    if find_spec("pillow_heif") is not None:
        import_module("pillow_heif").register_heif_opener()


def allowed_formats() -> list[str]:
    """Return the formats of `FORMATS` that the installed Pillow and its plugins decode."""
    register_plugins()
    return [format for format in FORMATS if format in Image.OPEN]


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


def read_rgb(source: Path | bytes, name: str, remedy: str) -> Image.Image:
    """Decode an image to RGB.

    Transparency is dropped, 16-bit grey levels are scaled to 8 bits instead of clipped, and an EXIF orientation is not
    applied (torchvision does not apply it either, so published accuracies do not include it).

    Args:
        source: A file, or the content of one.
        name, remedy: The name of the image and the advice to the user in error messages.

    Raises:
        InputError: If the image cannot be decoded, or has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    try:
        with (
            handle_pillow_warnings(),
            Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=allowed_formats()) as image,
        ):
            return to_rgb(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{name} has more pixels than {Image.MAX_IMAGE_PIXELS}: shrink it") from error
    # Decoders raise many types for damaged files (SyntaxError, struct.error, EOFError, ...).
    except Exception as error:
        raise InputError(f"{name} is not a readable image: {remedy}") from error


@contextmanager
def handle_pillow_warnings() -> Iterator[None]:
    """Context in which Pillow's warning of too many pixels is an error and its others are ignored, in all threads."""
    with warnings.catch_warnings():
        # A damaged file either decodes or is refused.
        warnings.filterwarnings("ignore", module=r"PIL\.\w+Plugin")
        # Pillow only warns above its limit of pixels, without the file name, and raises above twice the limit.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def to_rgb(image: Image.Image) -> Image.Image:
    """Decode to RGB as described at `read_rgb`; raises exceptions of any type if the image is damaged."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) / 257).clip(0, 255).round().astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels have no standard range")
    # Pillow warns about a transparent palette unless it is converted to RGBA first.
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


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


def find_readable(paths: Sequence[Path], folder: Path) -> Bool[np.ndarray, " samples"]:
    """Decode every image, log one warning with the unreadable ones, and return a mask of the readable ones."""
    mask = np.array([path.is_file() and _is_readable(path) for path in paths], dtype=bool)
    damaged = [str(path) for path, is_readable in zip(paths, mask, strict=True) if not is_readable]
    if damaged:
        names = ", ".join(damaged[:_MAX_NAMES]) + (", ..." if len(damaged) > _MAX_NAMES else "")
        _log.warning("left out %d unreadable image(s) of %s: %s", len(damaged), folder, names)
    return mask


def _is_readable(path: Path) -> bool:
    with suppress(InputError):
        read_rgb(path, str(path), REMEDY)
        return True
    return False


def load_files(
    paths: Sequence[Path],
    labels: Int[np.ndarray, " samples"],
    remedy: str,
    targets: Int[np.ndarray, "samples classes"] | None = None,
) -> LabelledImages:
    """Return images of one file each, with the file content as fingerprint; ``remedy`` is passed to `read_rgb`."""
    return LabelledImages(
        labels,
        lambda i: read_rgb(paths[i], str(paths[i]), remedy),
        lambda i: read_bytes(paths[i]),
        targets,
        lambda i: str(paths[i]),
    )
