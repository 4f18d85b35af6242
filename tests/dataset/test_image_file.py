"""Images are converted to RGB in one way, and an unreadable image is reported by name."""

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from transfer_exp.dataset.image_file import load_files, read_bytes, read_rgb
from transfer_exp.errors import InputError

RAMP = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)


def save(tmp_path, image, name="a.png"):
    image.save(tmp_path / name)
    return tmp_path / name


def test_grey_levels_of_8_and_16_bits_give_the_same_image(tmp_path):
    deep = save(tmp_path, Image.fromarray(RAMP.astype(np.uint16) * 257))
    assert Image.open(deep).mode.startswith("I")
    expected = np.repeat(RAMP[..., None], 3, axis=2)
    assert np.array_equal(read_rgb(deep, "deep", ""), expected)
    assert np.array_equal(read_rgb(save(tmp_path, Image.fromarray(RAMP)), "flat", ""), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_is_converted_to_rgb_without_a_warning(tmp_path, mode, recwarn):
    image = Image.fromarray(RAMP).convert(mode)
    if mode == "P":
        image.info["transparency"] = bytes(range(256))
    image = read_rgb(save(tmp_path, image).read_bytes(), "bytes", "")
    assert (image.mode, image.size) == ("RGB", (8, 8))
    assert not recwarn.list


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_a_file_without_an_image_is_reported_with_the_remedy(tmp_path, content):
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.jpg is not a readable image: remove it$"):
        read_rgb(path, str(path), "remove it")


def test_postscript_under_an_image_suffix_is_not_executed(tmp_path, monkeypatch):
    path = tmp_path / "script.jpg"
    Image.fromarray(RAMP).save(path, format="EPS")
    calls = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *a, **k: calls.append(a) or Image.core.new("RGB", (8, 8)))
    Image.open(path).load()
    assert calls, "Pillow runs it by default"
    calls.clear()
    with pytest.raises(InputError, match=r"script\.jpg is not a readable image"):
        read_rgb(path, str(path), "remove it")
    assert not calls


def test_a_truncated_image_is_refused(tmp_path):
    path = save(tmp_path, Image.effect_noise((64, 64), 90), "cut.jpg")
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(InputError, match=r"cut\.jpg is not a readable image"):
        read_rgb(path, str(path), "remove it")


@pytest.mark.parametrize("limit", [10, 40])
def test_an_image_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch, limit):
    """The image has 64 pixels: Pillow warns above the limit of 40 and raises above twice the limit of 10."""
    path = save(tmp_path, Image.fromarray(RAMP), "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(InputError, match=rf"bomb\.png has more pixels than {limit}: shrink it"):
        read_rgb(path, str(path), "remove it")


def test_the_fingerprint_is_the_content_of_the_file(tmp_path):
    path = save(tmp_path, Image.fromarray(RAMP))
    images = load_files([path], np.array([0]), "remove it")
    assert images.fingerprint(0) == path.read_bytes()
    path.unlink()
    with pytest.raises(InputError, match=r"cannot read .*a\.png"):
        read_bytes(path)
