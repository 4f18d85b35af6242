"""Files are images by suffix or content, decoders run no code, and an unreadable image is reported by name."""

import os
from io import BytesIO

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from transfer_exp.dataset.image_file import is_image, load_files, passed_over_reason, read_bytes
from transfer_exp.errors import InputError

RAMP = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)


def decode(path, remedy="remove it"):
    return load_files([path], np.array([0]), remedy).read(0)


def save(tmp_path, image, name="a.png"):
    image.save(tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_a_file_without_an_image_is_reported_with_the_remedy(tmp_path, content):
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.jpg is not a readable image: remove it$"):
        decode(path)


def test_postscript_under_an_image_suffix_is_not_executed(tmp_path, monkeypatch):
    path = tmp_path / "script.jpg"
    Image.fromarray(RAMP).save(path, format="EPS")
    calls = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *a, **k: calls.append(a) or Image.core.new("RGB", (8, 8)))
    Image.open(path).load()
    assert calls, "Pillow runs it by default"
    calls.clear()
    with pytest.raises(InputError, match=r"script\.jpg is not a readable image"):
        decode(path)
    assert not calls


def test_a_truncated_image_is_refused(tmp_path):
    path = save(tmp_path, Image.effect_noise((64, 64), 90), "cut.jpg")
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(InputError, match=r"cut\.jpg is not a readable image"):
        decode(path)


@pytest.mark.parametrize("limit", [10, 40])
def test_an_image_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch, limit):
    """The image has 64 pixels: Pillow warns above the limit of 40 and raises above twice the limit of 10."""
    path = save(tmp_path, Image.fromarray(RAMP), "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(InputError, match=rf"bomb\.png has more pixels than {limit}: shrink it"):
        decode(path)


def test_the_fingerprint_is_the_content_of_the_file(tmp_path):
    path = save(tmp_path, Image.fromarray(RAMP))
    images = load_files([path], np.array([0]), "remove it")
    assert images.fingerprint(0) == path.read_bytes()
    path.unlink()
    with pytest.raises(InputError, match=r"cannot read .*a\.png"):
        read_bytes(path)


def test_an_image_that_changes_after_its_first_reading_is_refused(tmp_path):
    path = save(tmp_path, Image.fromarray(RAMP))
    images = load_files([path, path], np.array([0, 0]), "remove it")
    assert images.digest == images.subset(np.array([0, 1])).digest
    save(tmp_path, Image.fromarray(RAMP[::-1]))
    for part in (images, images.subset(np.array([1]))):
        with pytest.raises(InputError, match=r"a\.png has changed since this run began: start the run again$"):
            part.read(0)


def encode(format, mode="RGB"):
    file = BytesIO()
    Image.fromarray(RAMP).convert(mode).save(file, format=format)
    return file.getvalue()


@pytest.mark.parametrize("name", ["a.PNG", "a.jfif", "a.JPE", "a.avif", "a.jp2", "a.Tga", "a.webp", "a.pnm", "a.ico"])
def test_a_suffix_that_pillow_knows_makes_an_image(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert is_image(tmp_path / name)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI"])
@pytest.mark.parametrize("name", ["a", "a.0001", "a.image"])
def test_other_files_are_images_by_their_content(tmp_path, format, name):
    (tmp_path / name).write_bytes(encode(format))
    assert is_image(tmp_path / name)
    assert decode(tmp_path / name).size == (8, 8)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"BMW and P5 are words", "not images"),
        ("P6", b"P6 is a word", "not images"),
        ("labels.csv", b"", "not images"),
        ("features.h5", b"\x89HDF\r\n\x1a\n", "not images"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0", "images of a format that is not read, convert them to PNG"),
        ("a", b"%!PS-Adobe-3.0 EPSF-3.0", "not images"),
        ("a.NEF", encode("TIFF"), "images of a format that is not read, convert them to PNG"),
        ("a.svg", b"<svg/>", "images of a format that is not read, convert them to PNG"),
    ],
)
def test_what_is_not_an_image_has_a_reason(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    assert not is_image(tmp_path / name)
    assert passed_over_reason(tmp_path / name) == reason


def test_heif_files_are_images_only_with_a_plugin(tmp_path, monkeypatch):
    path = tmp_path / "a.HEIC"
    path.write_bytes(b"\0\0\0\x18ftypheic")
    monkeypatch.setattr(Image, "EXTENSION", {k: v for k, v in Image.registered_extensions().items() if v != "HEIF"})
    assert not is_image(path)
    assert passed_over_reason(path) == "HEIF images, which need: pip install pillow-heif"
    monkeypatch.setitem(Image.EXTENSION, ".heic", "HEIF")
    assert is_image(path)


def test_a_pipe_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert not is_image(tmp_path / "a.png")
    assert passed_over_reason(tmp_path / "a.png") == "not regular files"
    with pytest.raises(InputError, match=r"a\.png is not a regular file"):
        read_bytes(tmp_path / "a.png")
