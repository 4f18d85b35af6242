"""Read images safely: formats that run nothing, one RGB convention, and errors that name the file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int
from PIL import Image

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.errors import InputError

# Pillow goes by content, not suffix, and would hand PostScript to Ghostscript: only these decoders may try.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
LARGEST = 1 << 30
"""Bytes of an image file: the most pixels that Pillow allows need fewer, whatever the format."""
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
REMEDY = "remove it or set dataset.on_unreadable=skip"
_SHOWN = 5
_log = logging.getLogger(__name__)


def read_rgb(source: Path | bytes, name: str, remedy: str) -> Image.Image:
    """Decode an image to RGB.

    Transparency is dropped, 16-bit grey levels are scaled to 8 bits instead of clipped, and an EXIF
    orientation is not applied (nor is it by torchvision, so published accuracies do not include it).

    Parameters
    ----------
    source
        A file, or the bytes of one.
    name
        What to call it in an error.
    remedy
        What to do about it, in the same error.

    Raises
    ------
    InputError
        When it cannot be decoded, or has more pixels than Pillow allows (``PIL.Image.MAX_IMAGE_PIXELS``).
    """
    try:
        with (
            settled_warnings(),
            Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image,
        ):
            return to_rgb(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{name} has more pixels than {Image.MAX_IMAGE_PIXELS}: shrink it") from error
    # A damaged file makes decoders fail in every way there is (SyntaxError, struct.error, EOFError, ...).
    except Exception as error:
        raise InputError(f"{name} is not a readable image: {remedy}") from error


@contextmanager
def settled_warnings() -> Iterator[None]:
    """Make one of Pillow's warnings an error and silence the others, in all threads of the process."""
    with warnings.catch_warnings():
        # Of every oddity in a damaged file, which either decodes or is refused.
        warnings.filterwarnings("ignore", module=r"PIL\.\w+Plugin")
        # Pillow's error comes at twice its limit, and at the limit a warning that names no file.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def to_rgb(image: Image.Image) -> Image.Image:
    """Decode to RGB, as `read_rgb` says.

    Raises
    ------
    Exception
        Of any kind, when the image is damaged.
    """
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) / 257).clip(0, 255).round().astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels have no agreed range")
    # Pillow warns of a transparent palette unless its transparency is made explicit first.
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes.

    Raises
    ------
    InputError
        When it cannot be read, or is larger than `LARGEST`.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path} has {path.stat().st_size} bytes, more than {LARGEST}: is it an image?")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}): restore it or check its permissions") from error


def refuse_outside(folder: Path, paths: Iterable[Path]) -> None:
    """Refuse files that a link, or ``..`` in a list of files, puts outside a dataset's folder.

    Raises
    ------
    InputError
        For the first of them.
    """
    home, parents = folder.resolve(), dict[Path, Path]()
    for path in paths:
        if path.parent not in parents:
            parents[path.parent] = path.parent.resolve()
        # The parents of many files are few, and resolving each file anew would take seconds.
        place = path.resolve() if path.is_symlink() else parents[path.parent] / path.name
        if not place.is_relative_to(home):
            raise InputError(f"{path} leads out of {folder}, to {place}: copy it into the folder, or leave it out")


def leaves_out(on_unreadable: str) -> bool:
    """Tell whether an option's value says to leave unreadable images out, and not to refuse them.

    Raises
    ------
    InputError
        When it says neither.
    """
    if on_unreadable not in ("refuse", "skip"):
        raise InputError(f"dataset.on_unreadable={on_unreadable} must be refuse or skip")
    return on_unreadable == "skip"


def readable(paths: Sequence[Path], where: Path) -> Bool[np.ndarray, " samples"]:
    """Return which images of ``where`` decode, each wholly; one warning names the others."""
    decodes = np.array([path.is_file() and _decodes(path) for path in paths], dtype=bool)
    damaged = [str(path) for path, is_sound in zip(paths, decodes, strict=True) if not is_sound]
    if damaged:
        shown = ", ".join(damaged[:_SHOWN]) + (", ..." if len(damaged) > _SHOWN else "")
        _log.warning("left out %d unreadable image(s) of %s: %s", len(damaged), where, shown)
    return decodes


def _decodes(path: Path) -> bool:
    try:
        read_rgb(path, str(path), REMEDY)
    except InputError:
        return False
    return True


def labelled_files(
    paths: Sequence[Path],
    labels: Int[np.ndarray, " samples"],
    remedy: str,
    targets: Int[np.ndarray, "samples classes"] | None = None,
) -> LabelledImages:
    """Return images kept one per file, whose bytes are the fingerprint; ``remedy`` is that of `read_rgb`."""
    return LabelledImages(
        labels,
        lambda i: read_rgb(paths[i], str(paths[i]), remedy),
        lambda i: read_bytes(paths[i]),
        targets,
        lambda i: str(paths[i]),
    )
