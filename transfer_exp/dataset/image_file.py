"""Safe reading of image files: decoders that run no code, one RGB convention, and errors with the file name."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int
from PIL import Image

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.errors import InputError

# Pillow detects formats by content and would pass PostScript to Ghostscript, so only these decoders are allowed.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MAX_BYTES = 1 << 30
"""Largest image file; the largest image that Pillow allows needs less in every format."""
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
REMEDY = "remove it or set dataset.on_unreadable=skip"
_MAX_NAMES = 5
_log = logging.getLogger(__name__)


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
            Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image,
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
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} has {path.stat().st_size} bytes, more than {MAX_BYTES}: is it an image?")
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
