"""Decoding of image files to RGB: orientation, transparency, and deep images (greyscale with more than 8 bits).

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
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transposition that turns an image upright, by its EXIF orientation."""
_PNG_METADATA_CHUNKS = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation\s*(?:=\s*[\"']|>)\s*([1-8])")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"mif1", b"msf1")
_BIT_DEPTHS = (8, 10, 12, 14, 16)
# Numbers of TIFF tags, and their values with a meaning here.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
_UNSIGNED, _SIGNED = 1, 2
_INFO_KEY = "transfer_exp facts"
"""Key of `ImageFacts` in `PIL.Image.Image.info`."""
PixelRange = tuple[float, float]


@dataclass(frozen=True)
class ImageFacts:
    """Facts about an encoded image that its decoded pixels do not show.

    Attributes:
        format: Format and mode of the file, such as ``"JPEG RGB"``.
        orientation: EXIF orientation, 1 to 8; the decoded image is upright.
        is_transparent: Whether any pixel is transparent.
        pixel_range: Values of a deep image that became 0 and 255; None for other images.
        has_several_frames: Whether there are frames after the first, which is the only one decoded.
        drops_low_bits: Whether the channels have 16 bits, and only the upper 8 are decoded: Pillow reads colours so.
    """

    format: str
    orientation: int = 1
    is_transparent: bool = False
    pixel_range: PixelRange | None = None
    has_several_frames: bool = False
    drops_low_bits: bool = False


def image_facts(image: Image.Image) -> ImageFacts:
    """Return the facts about an image that `ImageDecoder` has decoded; of any other image, only the mode."""
    facts: ImageFacts = image.info.get(_INFO_KEY, ImageFacts(image.mode))
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
def filter_pillow_warnings() -> Iterator[None]:
    """Context for all threads that raises Pillow's warning about too many pixels, and ignores its other warnings."""
    with warnings.catch_warnings():
        # Warnings about damaged files are noise: such a file either decodes or is refused.
        warnings.filterwarnings("ignore", module=r"PIL\.\w+")
        # Pillow only warns above its limit of pixels, without the file name, and raises above twice the limit.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


class ImageDecoder:
    """Decoder of the image files of one dataset.

    An image is turned upright by its EXIF orientation. An image with transparency is drawn on a background. Of several
    frames, only the first is decoded. The values of a deep image (greyscale with more than 8 bits) are scaled linearly:
    a pixel range becomes 0 to 255. All integer deep images of the dataset share one range, and all floating-point
    deep images another, so that their brightness stays comparable. The range is

    - if all integers are in 0 to 65,535: 0 to the largest number of 8, 10, 12, 14 or 16 bits; the fewest bits that hold
      all values of the dataset;
    - if all floating-point values are in 0 to 1: 0 to 1;
    - otherwise: the smallest to the largest value of the dataset.

    Args:
        background: Colour behind transparent pixels: a CSS name, or ``#rrggbb``.
        pixel_range: Lowest and highest value of deep images, instead of the rules above; values outside are clipped.

    Raises:
        InputError: If the background is not a colour, or the range is not two numbers in ascending order.
    """

    def __init__(self, background: str = BACKGROUND, pixel_range: Sequence[Any] | None = None) -> None:
        try:
            self._background = ImageColor.getrgb(background)[:3]
        except (ValueError, AttributeError, TypeError) as error:
            raise InputError(
                f"dataset.background={background} is not a colour: write a colour of CSS such as white, or '#rrggbb'"
            ) from error
        self._pixel_range = None if pixel_range is None else _check_range(pixel_range)
        self._range_sources: list[tuple[int, Callable[[int], bytes]]] = []

    def add_range_source(self, n_images: int, read_content: Callable[[int], bytes]) -> None:
        """Add images whose values decide the pixel range; to be called before the first image is decoded.

        Args:
            n_images: Number of images.
            read_content: Function that returns the content of the image file with an index.
        """
        self._range_sources.append((n_images, read_content))

    def decode(self, content: bytes, name: str, remedy: str) -> Image.Image:
        """Decode an image file to RGB; `image_facts` of the result describes the file.

        Args:
            content: Content of the file.
            name, remedy: Name of the image, and advice to the user, both for error messages.

        Raises:
            InputError: If the image cannot be decoded, or is too large or too long and narrow.
        """
        try:
            with filter_pillow_warnings(), _open_header(content, name) as image:
                return self._to_rgb(image, content)
        except InputError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise InputError(f"{name} has more pixels than {Image.MAX_IMAGE_PIXELS}: shrink it") from error
        except _PixelError as error:
            raise InputError(f"{name} {error}") from error
        # Decoders raise many types for damaged files (SyntaxError, struct.error, EOFError, ...).
        except Exception as error:
            raise InputError(_explain_failure(content, name, remedy)) from error

    def cache_key_suffix(self, content: bytes) -> bytes:
        """Return what the cache key of an image adds to its content: the rules of this decoder that change its pixels.

        These are the orientation, the background, the pixel range, and that 0 is white. The suffix is empty if none of
        them changes the image, so that values cached by releases without these rules stay valid. Only the header is
        read, except for a deep image, which needs the range of the dataset.
        """
        with suppress(Exception), filter_pillow_warnings(), _open_header(content, "") as image:
            rules = []
            # Pillow itself has always turned TIFF files upright, so their cached values are valid.
            if image.format != "TIFF" and (orientation := _read_orientation(image, content)) != 1:
                rules.append(f"orientation {orientation}")
            if image.has_transparency_data:
                rules.append(f"background {self._background}")
            # Earlier releases used this range for all images, so their cached values are valid.
            if _is_deep(image) and self._range_of(image) != (0, 65535):
                rules.append(f"range {self._range_of(image)}")
            if _is_deep(image) and _is_white_zero(image):
                rules.append("0 is white")
            return ", ".join(rules).encode()
        return b""

    def _to_rgb(self, image: Image.Image, content: bytes) -> Image.Image:
        _refuse_signed_bytes(image)
        # These facts are lost when the pixels are loaded.
        format, orientation = f"{image.format} {image.mode}", _read_orientation(image, content)
        drops_low_bits = not _is_deep(image) and any(";16" in raw_mode for raw_mode in _raw_modes(image))
        pixel_range = self._range_of(image) if _is_deep(image) else None
        rgb, alpha = _split_alpha(image) if pixel_range is None else _scale_deep_image(image, pixel_range)
        is_transparent = alpha is not None and alpha.getextrema()[0] < 255  # type: ignore[operator]
        if is_transparent:
            opaque = Image.new("RGB", rgb.size, self._background)
            opaque.paste(rgb, mask=alpha)
            rgb = opaque
        # The decoder of TIFF has turned the pixels already, and removed the tag.
        remaining = _read_orientation(image, content) if image.format == "TIFF" else orientation
        if remaining in _TRANSPOSITIONS:
            rgb = rgb.transpose(_TRANSPOSITIONS[remaining])
        facts = ImageFacts(format, orientation, is_transparent, pixel_range, _has_several_frames(image), drops_low_bits)
        rgb.info = {_INFO_KEY: facts}
        return rgb

    def _range_of(self, image: Image.Image) -> PixelRange:
        """Return the pixel range of a deep image."""
        return self._pixel_range or self._dataset_ranges[image.mode[0]]

    @cached_property
    def _dataset_ranges(self) -> dict[str, PixelRange]:
        """Ranges of the readable deep images with integers (modes of Pillow that start with I) and floats (F)."""
        extremes = {"I": (float("inf"), float("-inf")), "F": (float("inf"), float("-inf"))}
        for n_images, read_content in self._range_sources:
            for i in range(n_images):
                # An unreadable image is reported when it is decoded.
                with suppress(Exception), filter_pillow_warnings(), _open_header(read_content(i), "") as image:
                    if _is_deep(image):
                        (low, high), pixels = extremes[image.mode[0]], _deep_pixels(image)
                        extremes[image.mode[0]] = min(low, float(pixels.min())), max(high, float(pixels.max()))
        return {"I": _integer_range(*extremes["I"]), "F": _float_range(*extremes["F"])}


class _PixelError(ValueError):
    """Error about the pixels of an image; its message continues a sentence that starts with the image's name."""


def _check_range(pixel_range: Sequence[Any]) -> PixelRange:
    try:
        low, high = map(float, pixel_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if not (low < high and np.isfinite([low, high]).all()):
        raise InputError(
            f"dataset.pixel_range={pixel_range} must be [LOW,HIGH], two numbers in ascending order, or null"
        )
    return low, high


def _open_header(content: bytes, name: str) -> Image.Image:
    """Read the header of an image; no pixel is decoded.

    Raises:
        DecompressionBombError: If the image has too many pixels.
        InputError: If the image is too long and narrow.
    """
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


def _explain_failure(content: bytes, name: str, remedy: str) -> str:
    """Return the error message for an image that cannot be decoded."""
    if content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS and "HEIF" not in Image.OPEN:
        return f"{name} is a HEIF image: install its decoder with pip install pillow-heif, or convert it to PNG"
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return f"{name} is not a readable image (a damaged or unsupported TIFF): convert it to PNG, or {remedy}"
    return f"{name} is not a readable image: {remedy}"


def _read_orientation(image: Image.Image, content: bytes) -> int:
    """Return the EXIF orientation of an image, from 1 to 8; 1 if there is none or it is damaged."""
    # Pillow decodes the whole PNG to find its EXIF data, so look for a chunk of metadata first.
    if image.format == "PNG" and not any(chunk in content for chunk in _PNG_METADATA_CHUNKS):
        return 1
    orientation: Any = None
    with suppress(Exception):
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    for metadata in [] if orientation is not None else _other_metadata(image):
        with suppress(Exception):
            if metadata.startswith(b"Exif\0"):
                exif = Image.Exif()
                exif.load(metadata)
                orientation = exif.get(ExifTags.Base.Orientation, orientation)
            elif match := _XMP_ORIENTATION.search(metadata):
                orientation = int(match[1])
    return orientation if orientation in range(1, 9) else 1


def _other_metadata(image: Image.Image) -> Iterator[bytes]:
    """Yield metadata in which Pillow finds no orientation: EXIF or XMP that ImageMagick wrote as text, and all XMP.

    Pillow searches XMP itself, but only for an attribute in double quotes.
    """
    for key in ("APP1", "exif", "xmp"):
        if profile := image.info.get(f"Raw profile type {key}"):
            with suppress(ValueError):  # a name, a length, and hexadecimal digits
                yield bytes.fromhex("".join(profile.split("\n")[3:]))
    for key in ("XML:com.adobe.xmp", "xmp"):
        packet = image.info.get(key)
        if isinstance(packet, str | bytes):
            yield packet.encode() if isinstance(packet, str) else packet


def _refuse_signed_bytes(image: Image.Image) -> None:
    if (
        image.format == "TIFF"
        and not _is_deep(image)
        and _SIGNED in np.atleast_1d(_tiff_tag(image, _SAMPLE_FORMAT, _UNSIGNED))
    ):
        raise _PixelError(
            "has signed pixels of 8 bits, which Pillow reads as unsigned: save it unsigned or with 16 bits"
        )


def _raw_modes(image: Image.Image) -> list[str]:
    """Return Pillow's names for the layout of the encoded pixels, such as ``RGB;16B``; none if they are loaded."""
    return [str(tile[3]) for tile in getattr(image, "tile", ())]


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return an image that is not deep in RGB, and its alpha channel if it has transparency."""
    _scale_transparent_colour(image)
    if not image.has_transparency_data:
        return image.convert("RGB"), None
    rgba = image.convert("RGBA")
    return rgba.convert("RGB"), rgba.getchannel("A")


def _scale_transparent_colour(image: Image.Image) -> None:
    """Scale the transparent colour of a PNG to 8 bits; Pillow scales only the pixels."""
    colour, raw_modes = image.info.get("transparency"), _raw_modes(image)
    if image.format != "PNG" or colour is None or isinstance(colour, bytes) or not raw_modes:
        return
    if raw_modes[0] in ("L;2", "L;4"):
        image.info["transparency"] = colour * (255 // (2 ** int(raw_modes[0][-1]) - 1))
    elif raw_modes[0] == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _has_several_frames(image: Image.Image) -> bool:
    """Return whether an image has frames after the first; previews and layers are not frames."""
    with suppress(Exception):
        return image.format not in ("MPO", "PSD") and bool(getattr(image, "is_animated", False))
    return False


def _is_deep(image: Image.Image) -> bool:
    """Return whether an image is greyscale with more than 8 bits."""
    return image.mode == "F" or image.mode.startswith("I")


def _deep_pixels(image: Image.Image) -> Shaped[np.ndarray, "height width"]:
    """Return the values of a deep image; raises _PixelError if they are not finite."""
    pixels = np.asarray(image)
    sample_format = _tiff_tag(image, _SAMPLE_FORMAT, _UNSIGNED)
    is_unsigned = _tiff_tag(image, _BITS_PER_SAMPLE, None) == (32,) and sample_format in ((_UNSIGNED,), _UNSIGNED)
    if image.mode == "I" and is_unsigned:
        pixels = pixels.view(np.uint32)  # Pillow reads unsigned integers of 32 bits as signed.
    if not np.isfinite(pixels).all():
        raise _PixelError("has pixels that are NaN or infinite: replace them by numbers")
    return pixels


def _tiff_tag(image: Image.Image, tag: int, default: Any) -> Any:
    """Return the value of a tag of a TIFF; the default for other images."""
    tags: Any = getattr(image, "tag_v2", {})
    return tags.get(tag, default)


def _is_white_zero(image: Image.Image) -> bool:
    return bool(_tiff_tag(image, _PHOTOMETRIC, _BLACK_IS_ZERO) == _WHITE_IS_ZERO)


def _scale_deep_image(image: Image.Image, pixel_range: PixelRange) -> tuple[Image.Image, Image.Image | None]:
    """Return a deep image in RGB, its range scaled to 0 to 255, and its alpha channel if one value is transparent."""
    pixels, (low, high) = _deep_pixels(image), pixel_range
    # In double precision, so that the result does not depend on the machine; row by row, which bounds memory.
    grey = np.empty(pixels.shape, dtype=np.uint8)
    for row, out in zip(pixels, grey, strict=True):
        out[:] = ((row.astype(np.float64) - low) * (255 / (high - low))).clip(0, 255).round()
    if _is_white_zero(image):  # Pillow inverts such images of 8 bits only.
        grey = 255 - grey
    transparent = image.info.get("transparency")
    alpha = (
        Image.fromarray(np.where(pixels == transparent, 0, 255).astype(np.uint8)) if transparent is not None else None
    )
    return Image.fromarray(grey).convert("RGB"), alpha


def _integer_range(low: float, high: float) -> PixelRange:
    """Return the pixel range of integers with these extreme values, see `ImageDecoder`; if equal, that of 16 bits."""
    if low >= 0 and high < 1 << _BIT_DEPTHS[-1]:
        return 0.0, next(float((1 << bits) - 1) for bits in _BIT_DEPTHS if high < 1 << bits)
    return (low, high) if low < high else (0.0, 65535.0)


def _float_range(low: float, high: float) -> PixelRange:
    """Return the pixel range of floats with these extreme values, see `ImageDecoder`; if equal, 0 to 1."""
    return (0.0, 1.0) if (low >= 0 and high <= 1) or not low < high else (low, high)
