"""Decoding of image files to RGB: orientation, transparency, and deep pixels, which have more than 8 bits.

Only decoders of Pillow that start no other program are used.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from typing import Any

import numpy as np
from jaxtyping import Shaped
from PIL import ExifTags, Image, ImageColor

from transfer_exp.errors import InputError

# Pillow detects formats by content. Only these decoders are allowed: others run programs (EPS calls Ghostscript), or
# hold no photographs. TGA has no signature, so that it is tried last.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000", "MPO", "PPM", "PSD", "QOI"),
    *("ICO", "CUR", "ICNS", "DDS", "DIB", "PCX", "SGI", "SUN", "XBM", "XPM", "TGA"),
)
MAX_ASPECT = 300
"""Largest ratio of the sides of an image. Networks resize the shorter side to hundreds of pixels before they crop, so
that an image of 1 x 2,000,000 pixels would take gigabytes."""
BACKGROUND = "white"
"""Default colour behind transparent pixels."""
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transposition that shows an image upright, by its EXIF orientation."""
_PNG_METADATA_CHUNKS = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation\s*(?:=\s*[\"']|>)\s*([1-8])")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"mif1", b"msf1")
_BITS = (8, 10, 12, 14, 16)
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
"""Numbers of tags of TIFF."""
_FACTS = "transfer_exp facts"
"""Key of `ImageFacts` in `PIL.Image.Image.info`."""
Range = tuple[float, float]


@dataclass(frozen=True)
class ImageFacts:
    """Facts about an encoded image that its decoded pixels do not show.

    Attributes:
        format: Format and mode of the file, such as ``"JPEG RGB"``.
        orientation: EXIF orientation, 1 to 8; the decoded image is upright.
        is_transparent: Whether any pixel is transparent.
        pixel_range: Values of deep pixels that became 0 and 255; None for pixels of 8 bits.
        has_frames: Whether there are frames besides the first, which is decoded.
        drops_low_bits: Whether only the upper 8 of 16 bits of each channel are decoded, as in colour images.
    """

    format: str
    orientation: int = 1
    is_transparent: bool = False
    pixel_range: Range | None = None
    has_frames: bool = False
    drops_low_bits: bool = False


def image_facts(image: Image.Image) -> ImageFacts:
    """Return the facts about a decoded image; only its mode is known if `ImageDecoder` has not decoded it."""
    facts: ImageFacts = image.info.get(_FACTS, ImageFacts(image.mode))
    return facts


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


@contextmanager
def handle_pillow_warnings() -> Iterator[None]:
    """Context, for all threads, in which Pillow's warning of too many pixels is an error and others are ignored."""
    with warnings.catch_warnings():
        # Warnings about damaged files are noise: such a file either decodes or is refused.
        warnings.filterwarnings("ignore", module=r"PIL\.\w+")
        # Pillow only warns above its limit of pixels, without the file name, and raises above twice the limit.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


class ImageDecoder:
    """Decoder of the image files of one dataset.

    An image is turned upright by its EXIF orientation. An image with transparency is drawn on a background. Of several
    frames the first is decoded. Deep pixels are scaled linearly from a range to 0 to 255. All integer images of the
    dataset share one range, and all floating-point images another, so that their brightness stays comparable:

    - integers from 0 to 65,535: from 0 to the largest value of 8, 10, 12, 14 or 16 bits,
      the first that holds all values;
    - floating-point values from 0 to 1: from 0 to 1;
    - all others: from the smallest to the largest value in the dataset.

    Args:
        background: Colour behind transparent pixels: a name of CSS, or ``#rrggbb``.
        pixel_range: Lowest and highest value of deep pixels, instead of the rules above; values outside are clipped.

    Raises:
        InputError: If the background is not a colour, or the range not two numbers in ascending order.
    """

    def __init__(self, background: str = BACKGROUND, pixel_range: Sequence[Any] | None = None) -> None:
        try:
            self._background = ImageColor.getrgb(background)[:3]
        except (ValueError, AttributeError, TypeError) as error:
            raise InputError(
                f"dataset.background={background} is not a colour: write a colour of CSS such as white, or '#rrggbb'"
            ) from error
        self._pixel_range = None if pixel_range is None else _check_range(pixel_range)
        self._sources: list[tuple[int, Callable[[int], bytes]]] = []

    def register(self, n_images: int, content: Callable[[int], bytes]) -> None:
        """Add images that decide the range of deep pixels, before the first image is decoded.

        Args:
            n_images: Number of images.
            content: Function of an index that returns the content of the file.
        """
        self._sources.append((n_images, content))

    def decode(self, content: bytes, name: str, remedy: str) -> Image.Image:
        """Decode an image file to RGB; `image_facts` of the result describes the file.

        Args:
            content: The content of the file.
            name, remedy: The name of the image and the advice to the user in error messages.

        Raises:
            InputError: If the image cannot be decoded, or is too large or too long and narrow.
        """
        try:
            with handle_pillow_warnings(), _open(content, name) as image:
                return self._to_rgb(image, content)
        except InputError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise InputError(f"{name} has more pixels than {Image.MAX_IMAGE_PIXELS}: shrink it") from error
        except _PixelError as error:
            raise InputError(f"{name} {error}") from error
        # Decoders raise many types for damaged files (SyntaxError, struct.error, EOFError, ...).
        except Exception as error:
            raise InputError(_explain(content, name, remedy)) from error

    def marker(self, content: bytes) -> bytes:
        """Return the part of an image's cache key that its file does not decide: orientation, background, range.

        It is empty for an image without orientation, transparency and deep pixels, so that values cached by releases
        without these rules stay valid. Only the header is read, but deep pixels need the range of the dataset.
        """
        with suppress(Exception), handle_pillow_warnings(), _open(content, "") as image:
            marks = []
            # Pillow itself has always turned TIFF files upright, so their cached values are valid.
            if image.format != "TIFF" and (orientation := _orientation(image, content)) != 1:
                marks.append(f"orientation {orientation}")
            if image.has_transparency_data:
                marks.append(f"background {self._background}")
            # This range equals the fixed one of earlier releases, so their cached values are valid.
            if _is_deep(image) and self._range_of(image.mode) != (0, 65535):
                marks.append(f"range {self._range_of(image.mode)}")
            if _is_deep(image) and _tag(image, _PHOTOMETRIC, 1) == 0:
                marks.append("0 is white")
            return ", ".join(marks).encode()
        return b""

    def _to_rgb(self, image: Image.Image, content: bytes) -> Image.Image:
        kind, orientation = f"{image.format} {image.mode}", _orientation(image, content)
        pixel_range = self._range_of(image.mode) if _is_deep(image) else None
        alpha, drops = None, not _is_deep(image) and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
        if image.format == "TIFF" and not _is_deep(image) and 2 in np.atleast_1d(_tag(image, _SAMPLE_FORMAT, 1)):
            raise _PixelError(
                "has signed pixels of 8 bits, which Pillow reads as unsigned: save it unsigned or with 16 bits"
            )
        _scale_transparent_colour(image)
        if pixel_range is not None:
            rgb, alpha = _scale(image, pixel_range)
        elif image.has_transparency_data:
            rgba = image.convert("RGBA")
            rgb, alpha = rgba.convert("RGB"), rgba.getchannel("A")
        else:
            rgb = image.convert("RGB")
        is_transparent = alpha is not None and alpha.getextrema()[0] < 255  # type: ignore[operator]
        if is_transparent:
            composed = Image.new("RGB", rgb.size, self._background)
            composed.paste(rgb, mask=alpha)
            rgb = composed
        # The decoder of TIFF has turned the pixels already, and removed the tag.
        remaining = _orientation(image, content) if image.format == "TIFF" else orientation
        if remaining in _UPRIGHT:
            rgb = rgb.transpose(_UPRIGHT[remaining])
        rgb.info = {_FACTS: ImageFacts(kind, orientation, is_transparent, pixel_range, _has_frames(image), drops)}
        return rgb

    def _range_of(self, mode: str) -> Range:
        """Return the range of deep pixels of a mode over all images of the dataset."""
        return self._pixel_range or self._ranges["F" if mode == "F" else "I"]

    @cached_property
    def _ranges(self) -> dict[str, Range]:
        """Ranges of integers ``I`` and floating-point values ``F`` over all readable deep images of the dataset."""
        lows, highs = ({"I": float("inf"), "F": float("inf")}, {"I": float("-inf"), "F": float("-inf")})
        for n_images, content in self._sources:
            for i in range(n_images):
                # Reading the image later reports what is wrong with it.
                with suppress(Exception), handle_pillow_warnings(), _open(content(i), "") as image:
                    if _is_deep(image):
                        kind, values = "F" if image.mode == "F" else "I", _deep_pixels(image)
                        lows[kind] = min(lows[kind], float(values.min()))
                        highs[kind] = max(highs[kind], float(values.max()))
        return {"I": _integer_range(lows["I"], highs["I"]), "F": _float_range(lows["F"], highs["F"])}


class _PixelError(ValueError):
    """Pixels that cannot be shown; the message follows the name of the image."""


def _check_range(pixel_range: Sequence[Any]) -> Range:
    try:
        low, high = map(float, pixel_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if not (low < high and np.isfinite([low, high]).all()):
        raise InputError(
            f"dataset.pixel_range={pixel_range} must be [LOW,HIGH], two numbers in ascending order, or null"
        )
    return low, high


def _open(content: bytes, name: str) -> Image.Image:
    """Read the header of an image; raises InputError before any pixel is decoded if the image is too large."""
    image = Image.open(BytesIO(content), formats=allowed_formats())
    width, height = image.size
    if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InputError(
            f"{name} has {width} x {height} pixels, and one side may be at most {MAX_ASPECT} times the other: "
            "crop it or leave it out"
        )
    return image


def _explain(content: bytes, name: str, remedy: str) -> str:
    """Return why an image cannot be decoded, and the remedy."""
    if content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS and "HEIF" not in Image.OPEN:
        return f"{name} is a HEIF image: install its decoder with pip install pillow-heif, or convert it to PNG"
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return f"{name} is not a readable image (a damaged or unsupported TIFF): convert it to PNG, or {remedy}"
    return f"{name} is not a readable image: {remedy}"


def _orientation(image: Image.Image, content: bytes) -> int:
    """Return the EXIF orientation of an image, from 1 to 8; 1 if there is none or it is damaged."""
    # Asking Pillow for the EXIF data of a PNG decodes the whole image, so look for such a chunk first.
    if image.format == "PNG" and not any(chunk in content for chunk in _PNG_METADATA_CHUNKS):
        return 1
    orientation: Any = None
    with suppress(Exception):
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    for content in [] if orientation is not None else _metadata(image):
        with suppress(Exception):
            if content.startswith(b"Exif\0"):
                exif = Image.Exif()
                exif.load(content)
                orientation = exif.get(ExifTags.Base.Orientation, orientation)
            elif match := _XMP_ORIENTATION.search(content):
                orientation = int(match[1])
    return orientation if orientation in range(1, 9) else 1


def _metadata(image: Image.Image) -> Iterator[bytes]:
    """Yield metadata that Pillow does not search: text chunks of PNG by ImageMagick, and XMP with other quotes."""
    for key in ("APP1", "exif", "xmp"):
        if profile := image.info.get(f"Raw profile type {key}"):
            with suppress(ValueError):  # a name, a length, and hexadecimal digits
                yield bytes.fromhex("".join(profile.split("\n")[3:]))
    for key in ("XML:com.adobe.xmp", "xmp"):
        packet = image.info.get(key)
        if isinstance(packet, str | bytes):
            yield packet.encode() if isinstance(packet, str) else packet


def _scale_transparent_colour(image: Image.Image) -> None:
    """Scale the transparent colour of a PNG to 8 bits; Pillow scales only the pixels."""
    tiles: Any = getattr(image, "tile", ())
    colour, mode = image.info.get("transparency"), str(tiles[0][3]) if tiles else ""
    if image.format != "PNG" or colour is None or isinstance(colour, bytes):
        return
    if mode in ("L;2", "L;4"):
        image.info["transparency"] = colour * (255 // (2 ** int(mode[-1]) - 1))
    elif mode == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _has_frames(image: Image.Image) -> bool:
    """Return whether an image has other frames than the first; previews and layers are not frames."""
    with suppress(Exception):
        return image.format not in ("MPO", "PSD") and bool(getattr(image, "is_animated", False))
    return False


def _is_deep(image: Image.Image) -> bool:
    """Return whether an image has one channel of more than 8 bits."""
    return image.mode == "F" or image.mode.startswith("I")


def _deep_pixels(image: Image.Image) -> Shaped[np.ndarray, "height width"]:
    """Return the values of a deep image; raises _PixelError if they are not finite."""
    pixels = np.asarray(image)
    is_unsigned = _tag(image, _BITS_PER_SAMPLE, None) == (32,) and _tag(image, _SAMPLE_FORMAT, 1) in ((1,), 1)
    if image.mode == "I" and is_unsigned:
        pixels = pixels.view(np.uint32)  # Pillow reads unsigned integers of 32 bits as signed.
    if not np.isfinite(pixels).all():
        raise _PixelError("has pixels that are NaN or infinite: replace them by numbers")
    return pixels


def _tag(image: Image.Image, tag: int, default: Any) -> Any:
    """Return the value of a tag of a TIFF; the default for other images."""
    tags: Any = getattr(image, "tag_v2", {})
    return tags.get(tag, default)


def _scale(image: Image.Image, pixel_range: Range) -> tuple[Image.Image, Image.Image | None]:
    """Return a deep image in RGB with a range scaled to 0 to 255, and its alpha channel if a value is transparent."""
    pixels, (low, high) = _deep_pixels(image), pixel_range
    # In double precision, so that the result does not depend on the machine; row by row, which bounds memory.
    grey = np.empty(pixels.shape, dtype=np.uint8)
    for row, out in zip(pixels, grey, strict=True):
        out[:] = ((row.astype(np.float64) - low) * (255 / (high - low))).clip(0, 255).round()
    if _tag(image, _PHOTOMETRIC, 1) == 0:  # Pillow inverts such images of 8 bits only.
        grey = 255 - grey
    transparent = image.info.get("transparency")
    alpha = (
        Image.fromarray(np.where(pixels == transparent, 0, 255).astype(np.uint8)) if transparent is not None else None
    )
    return Image.fromarray(grey).convert("RGB"), alpha


def _integer_range(low: float, high: float) -> Range:
    """Return the range of integer images with these extreme values; that of 16 bits if they are equal or missing."""
    if low < 0 or high >= 1 << _BITS[-1]:
        return (low, high) if low < high < float("inf") else (0.0, 65535.0)
    return 0.0, next(float((1 << bits) - 1) for bits in _BITS if high < 1 << bits)


def _float_range(low: float, high: float) -> Range:
    """Return the range of floating-point images with these extreme values; 0 to 1 if they are equal or missing."""
    return (0.0, 1.0) if (low >= 0 and high <= 1) or not low < high else (low, high)
