"""Decoded pixels equal those of an independent reference for every orientation, mode, bit depth and format."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from transfer_exp.dataset.image_decoding import MAX_ASPECT, ImageDecoder, ImageFacts, image_facts
from transfer_exp.dataset.image_file import load_encoded
from transfer_exp.errors import InputError

RAMP = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)
# Array operation that shows an array of (height, width, ...) upright, by EXIF orientation (EXIF 2.3, table 6).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


def encode(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format=format, **options)
    return file.getvalue()


def encode_oriented(image, format, orientation, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image, format, exif=exif, **options)


def load(*contents, **options):
    """Return the images with these contents."""
    names = [f"image {i}" for i in range(len(contents))]
    decoder = ImageDecoder(**options)
    return load_encoded(
        contents.__getitem__, np.zeros(len(contents), int), names.__getitem__, "fix it", decoder=decoder
    )


def decode(content, **options):
    return np.asarray(load(content, **options).read(0))


def is_marked(content, **options):
    return load(content, **options).fingerprint(0) != content


def compose(values, alpha, background):
    """Return 8-bit colours (H, W, 3) over a background, rounded to the nearest level."""
    share = alpha[..., None].astype(float) / 255
    return np.rint(values * share + np.array(background) * (1 - share)).astype(np.uint8)


sides = st.integers(1, 9)
seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=30)
@given(sides, sides, seeds, st.integers(0, 10), st.sampled_from(["PNG", "TIFF", "WEBP", "JPEG"]))
def test_every_orientation_is_applied_in_every_format(height, width, seed, orientation, format):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    options = {"lossless": True} if format == "WEBP" else {}
    plain = encode(Image.fromarray(pixels), format, **options)
    tagged = encode_oriented(Image.fromarray(pixels), format, orientation, **options)
    expected = UPRIGHT.get(orientation, UPRIGHT[1])(decode(plain))
    np.testing.assert_array_equal(decode(tagged), expected)
    if format != "JPEG":
        np.testing.assert_array_equal(decode(plain), pixels)
    applied = orientation if orientation in range(2, 9) else 1
    assert image_facts(load(tagged).read(0)) == ImageFacts(f"{format} RGB", applied)
    assert is_marked(tagged) == (applied != 1 and format != "TIFF"), "Pillow itself turns TIFF files"
    assert not is_marked(plain)


XMP = "<x tiff:Orientation={0}6{0}/>"
EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def raw_profile(name, content):
    """Return the text chunk in which ImageMagick keeps the metadata of other formats."""
    return f"Raw profile type {name}", f"\n{name}\n{len(content):8}\n" + "\n".join(content.hex(" ", 36).split()) + "\n"


ORIENTED_CHUNKS = {
    "XMP": lambda info: info.add_itxt("XML:com.adobe.xmp", XMP.format('"')),
    "XMP in single quotes": lambda info: info.add_itxt("XML:com.adobe.xmp", XMP.format("'")),
    "raw XMP": lambda info: info.add_text(*raw_profile("xmp", XMP.format('"').encode()), zip=True),
    "raw EXIF": lambda info: info.add_text(*raw_profile("exif", EXIF)),
    "raw EXIF as APP1": lambda info: info.add_text(*raw_profile("APP1", EXIF), zip=True),
    "raw XMP as APP1": lambda info: info.add_text(
        *raw_profile("APP1", b"http://ns.adobe.com/xap/1.0/\0<tiff:Orientation> 6 </tiff:Orientation>")
    ),
}


@pytest.mark.parametrize("chunk", ORIENTED_CHUNKS)
def test_an_orientation_in_any_chunk_of_a_png_is_applied(chunk):
    info, image = PngInfo(), Image.fromarray(RAMP)
    ORIENTED_CHUNKS[chunk](info)
    tagged = encode(image, pnginfo=info)
    np.testing.assert_array_equal(decode(tagged), UPRIGHT[6](decode(encode(image))))
    assert is_marked(tagged)


@pytest.mark.parametrize(
    "text", ["", "\nAPP1\n 3\nzz", "\nAPP1\n 10\n" + b"Exif\0\0MM".hex(), "\nxmp\n1\n" + "00" * 999]
)
def test_a_damaged_text_chunk_counts_as_no_orientation(text):
    info, image = PngInfo(), Image.fromarray(RAMP)
    info.add_text("Raw profile type APP1", text)
    info.add_text("Raw profile type exif", text)
    np.testing.assert_array_equal(decode(encode(image, pnginfo=info)), decode(encode(image)))


def test_an_orientation_of_avif_is_applied():
    image = Image.fromarray(RAMP).convert("RGB")
    tagged = encode_oriented(image, "AVIF", 6)
    np.testing.assert_array_equal(decode(tagged), UPRIGHT[6](decode(encode(image, "AVIF"))))
    assert is_marked(tagged)


def test_damaged_exif_data_count_as_no_orientation():
    content = encode(Image.fromarray(RAMP), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff")
    np.testing.assert_array_equal(decode(content), decode(encode(Image.fromarray(RAMP), "JPEG")))


@settings(deadline=None, max_examples=30)
@given(
    sides,
    sides,
    seeds,
    st.sampled_from(["RGBA", "LA", "PA", "P", "RGB", "L"]),
    st.sampled_from([("white", (255, 255, 255)), ("#102030", (16, 32, 48))]),
    st.integers(1, 8),
)
def test_transparent_pixels_show_the_background(height, width, seed, mode, background, orientation):
    rng = np.random.default_rng(seed)
    name, colour = background
    alpha = rng.choice([0, 1, 128, 254, 255], (height, width)).astype(np.uint8)
    values = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    options = {}
    if mode == "RGBA":
        image = Image.fromarray(np.dstack([values, alpha]))
    elif mode == "LA":
        values = np.repeat(values[..., :1], 3, axis=2)
        image = Image.fromarray(np.dstack([values[..., 0], alpha]))
    elif mode in ("P", "PA"):
        palette, alphas = rng.integers(0, 256, (256, 3), dtype=np.uint8), rng.integers(0, 256, 256, dtype=np.uint8)
        index = values[..., 0]
        image = Image.fromarray(index)
        image.putpalette(palette.tobytes())
        values, alpha = palette[index], alphas[index]
        options["transparency"] = alphas.tobytes()
    else:
        # One value is transparent.
        values = values // 128 if mode == "RGB" else np.repeat(values[..., :1] // 64, 3, axis=2)
        alpha = np.where((values == 1).all(axis=2), 0, 255).astype(np.uint8)
        image = Image.fromarray(values if mode == "RGB" else values[..., 0])
        options["transparency"] = (1, 1, 1) if mode == "RGB" else 1
    content = encode_oriented(image, "PNG", orientation, **options)
    expected = UPRIGHT[orientation](compose(values, alpha, colour))
    np.testing.assert_array_equal(decode(content, background=name), expected)
    assert image_facts(load(content).read(0)).is_transparent == (alpha.min() < 255)
    assert is_marked(content)
    assert load(content).digest != load(content, background="black").digest


@settings(deadline=None, max_examples=30)
@given(seeds, st.sampled_from([8, 10, 12, 14, 16]), st.sampled_from(["PNG", "TIFF", "big-endian TIFF", "I"]))
def test_integers_are_scaled_from_the_bits_that_hold_the_dataset(seed, bits, kind):
    rng = np.random.default_rng(seed)
    # Only the second image shows how many bits are used.
    levels = [rng.integers(0, 2 ** (bits - 1), (4, 5)).astype(np.uint16) for _ in range(2)]
    levels[1][0, 0] = 2**bits - 1
    images = load(*(encode_deep(values, kind) for values in levels))
    for i, values in enumerate(levels):
        expected = np.rint(values.astype(float) * 255 / (2**bits - 1))
        np.testing.assert_array_equal(np.asarray(images.read(i)), np.repeat(expected[..., None], 3, axis=2))
        assert image_facts(images.read(i)).pixel_range == (0, 2**bits - 1)
    assert is_marked(encode_deep(levels[1], kind)) == (bits < 16), "16 bits were read so before"


def encode_deep(values, kind):
    if kind == "I":
        return encode(Image.fromarray(values.astype(np.int32)), "TIFF")
    if kind == "big-endian TIFF":
        return encode(Image.fromarray(values.astype(">u2")), "TIFF")
    return encode(Image.fromarray(values), kind)


@pytest.mark.parametrize(
    ("values", "pixel_range", "expected"),
    [
        (np.array([[-1000, 0, 3000]], np.int32), None, [0, 64, 255]),
        (np.array([[0, 2**31, 2**32 - 1]], np.uint32), None, [0, 128, 255]),
        (np.array([[0, 1000, 70000]], np.int32), None, [0, 4, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), None, [0, 128, 255]),
        (np.array([[0.0, 0.25, 0.5]], np.float32), None, [0, 64, 128]),
        (np.array([[0.0, 51.0, 255.0]], np.float32), None, [0, 51, 255]),
        (np.array([[-1.0, 0.0, 1.0]], np.float32), None, [0, 128, 255]),
        (np.array([[-1.0, 0.0, 5.0]], np.float32), [0, 4], [0, 0, 255]),
        (np.array([[0, 2048, 4095]], np.uint16), [0, 8190], [0, 64, 128]),
    ],
)
def test_other_deep_images_are_scaled_from_their_range_or_a_given_one(values, pixel_range, expected):
    content = tiff_of_unsigned(values) if values.dtype == np.uint32 else encode(Image.fromarray(values), "TIFF")
    assert decode(content, pixel_range=pixel_range)[0, :, 0].tolist() == expected


def tiff_of_unsigned(values):
    """Return a TIFF of unsigned 32-bit integers, which Pillow reads but does not write."""
    entries = [(256, 3, values.shape[1]), (257, 3, values.shape[0]), (258, 3, 32), (259, 3, 1), (262, 3, 1)]
    entries += [(273, 4, 8), (277, 3, 1), (278, 3, values.shape[0]), (279, 4, values.nbytes), (339, 3, 1)]
    data = values.astype("<u4").tobytes()
    table = b"".join(
        tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + (1).to_bytes(4, "little") + value.to_bytes(4, "little")
        for tag, kind, value in entries
    )
    start = (8 + len(data)).to_bytes(4, "little")
    return b"II*\0" + start + data + len(entries).to_bytes(2, "little") + table + bytes(4)


def test_a_transparent_value_of_16_bits_shows_the_background():
    values = np.array([[0, 300, 65535]], np.uint16)
    content = encode(Image.fromarray(values), "PNG", transparency=300)
    assert decode(content, background="#ff0000").tolist() == [[[0, 0, 0], [255, 0, 0], [255, 255, 255]]]


def test_values_that_are_no_numbers_are_refused_with_the_reason():
    content = encode(Image.fromarray(np.array([[0.0, np.nan]], np.float32)), "TIFF")
    with pytest.raises(InputError, match=r"^image 0 has pixels that are NaN or infinite: replace them by numbers$"):
        decode(content)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB"])
def test_all_other_modes_are_converted_without_a_warning(mode, recwarn):
    image = Image.fromarray(np.dstack([RAMP, RAMP[::-1], RAMP.T])).convert("RGB")
    image = image.convert("L").convert(mode) if mode in ("1", "L", "P") else image.convert(mode)
    format = "PNG" if mode in ("1", "L", "P", "RGB") else "TIFF"
    content = encode(image, format)
    np.testing.assert_array_equal(decode(content), np.asarray(image.convert("RGB")))
    assert not is_marked(content)
    assert not recwarn.list


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_of_several_frames_is_read(format):
    options = {"lossless": True} if format == "WEBP" else {}
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    content = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    image = load(content).read(0)
    assert np.unique(np.asarray(image).reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]
    assert image_facts(image).has_several_frames
    assert not image_facts(load(encode(frames[0], format)).read(0)).has_several_frames


def test_colours_of_16_bits_keep_their_upper_half():
    content = encode_rgb16(np.full((2, 2, 3), 0x1234))
    image = load(content).read(0)
    assert np.unique(np.asarray(image)).tolist() == [0x12]
    assert image_facts(image).drops_low_bits


def encode_png(depth, colour_type, rows, transparent=None):
    """Return a PNG of packed rows, at depths and with transparent colours that Pillow reads but does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    width = len(rows[0]) * 8 // (depth * {0: 1, 2: 3}[colour_type])
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour_type, 0, 0, 0)
    colour = b"" if transparent is None else chunk(b"tRNS", transparent)
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + colour + pixels + chunk(b"IEND", b"")


def encode_rgb16(values):
    return encode_png(16, 2, [row.astype(">u2").tobytes() for row in values])


@pytest.mark.parametrize("size", [(1, 2_000_000), (2_000_000, 1), (1, MAX_ASPECT + 1)])
def test_a_long_and_narrow_image_is_refused_before_decoding(size, monkeypatch):
    content = encode(Image.new("1", size))
    monkeypatch.setattr(Image.Image, "convert", lambda *a, **k: pytest.fail("decoded"))
    expected = f"image 0 has {size[0]} x {size[1]} pixels, and one side may be at most {MAX_ASPECT} times the other"
    with pytest.raises(InputError, match=expected):
        decode(content)


def test_an_image_at_the_limit_is_read():
    assert decode(encode(Image.new("1", (1, MAX_ASPECT)))).shape == (MAX_ASPECT, 1, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0\0\x18ftypheic", r"is a HEIF image: install its decoder with pip install pillow-heif, or convert it"),
        (
            b"II*\0",
            r"is not a readable image \(a damaged or unsupported TIFF\): convert it to PNG, or fix it",
        ),
        (b"", r"is not a readable image: fix it"),
    ],
)
def test_the_cause_is_in_the_message(content, message, monkeypatch):
    monkeypatch.setattr(Image, "OPEN", {k: v for k, v in Image.OPEN.items() if k != "HEIF"})
    with pytest.raises(InputError, match=rf"^image 0 {message}"):
        decode(content)


def test_a_background_that_is_no_colour_is_refused():
    with pytest.raises(InputError, match=r"dataset\.background=blanc is not a colour"):
        ImageDecoder("blanc")


@pytest.mark.parametrize("pixel_range", [[1, 0], [0], [0, "a"], [0, float("nan")], [0, float("inf")]])
def test_a_wrong_range_is_refused(pixel_range):
    with pytest.raises(InputError, match=r"dataset\.pixel_range=.* must be \[LOW,HIGH\]"):
        ImageDecoder(pixel_range=pixel_range)


def test_images_that_are_not_files_have_no_facts(dataset):
    assert image_facts(dataset.train.read(0)) == ImageFacts("RGB")
    assert replace(dataset.train, read=lambda i: Image.new("L", (1, 1))).read(0).mode == "L"


@pytest.mark.parametrize("white_is_zero", [False, True])
def test_deep_images_whose_zero_is_white_are_inverted(white_is_zero):
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1040
    content = encode(Image.fromarray(values), "TIFF", tiffinfo={262: 0 if white_is_zero else 1})
    grey = np.rint(values * (255 / 65535)).astype(np.uint8)
    expected = 255 - grey if white_is_zero else grey
    np.testing.assert_array_equal(decode(content)[..., 0], expected)
    assert is_marked(content) == white_is_zero


def test_signed_pixels_of_8_bits_are_refused():
    content = encode(Image.fromarray(RAMP), "TIFF", tiffinfo={339: 2})
    with pytest.raises(InputError, match="signed pixels of 8 bits"):
        decode(content)


@pytest.mark.parametrize(
    ("depth", "colour_type", "rows", "transparent"),
    [
        (2, 0, [bytes([0b01000000])], struct.pack(">H", 1)),
        (4, 0, [bytes([0x10, 0x00])], struct.pack(">H", 1)),
        (16, 2, [struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0, 0, 0)], struct.pack(">3H", 0x1234, 0x5678, 0x9ABC)),
    ],
    ids=["2 bits", "4 bits", "16 bits a channel"],
)
def test_a_transparent_colour_of_any_depth_shows_the_background(depth, colour_type, rows, transparent):
    pixels = decode(encode_png(depth, colour_type, rows, transparent), background="red")
    np.testing.assert_array_equal(pixels[0, 0], [255, 0, 0])
    np.testing.assert_array_equal(pixels[0, 1], [0, 0, 0])


def test_a_palette_with_alpha_shows_the_background():
    palette = bytes([9, 9, 9, 255, 200, 200, 200, 0])  # entries of a TGA are blue, green, red, alpha
    header = bytes([0, 1, 1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 2, 0, 1, 0, 8, 0x28])
    pixels = decode(header + palette + bytes([0, 1]), background="blue")
    np.testing.assert_array_equal(pixels[0], [[9, 9, 9], [0, 0, 255]])
