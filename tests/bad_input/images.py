"""Folders of images that cannot be read, or are dangerous to read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bad_input.files import Build, bomb, damaged_picture, link_out, pictures, sparse
from tests.bad_input.kind import Kind

ARGUMENTS = (
    "model_pool.names=[resnet_glyphs]",
    "tracker=none",
    "dataset=image_folder",
    "dataset.root=images",
    "ground_truth=none",
)


def _single_image(folder: Path) -> None:
    for path in (pictures(folder) / "train" / "dog").iterdir():
        if path.name != "0.png":
            path.unlink()


def _single_class(folder: Path) -> None:
    root = pictures(folder)
    for split in ("train", "test"):
        shutil.rmtree(root / split / "dog")


def _class_only_in_test(folder: Path) -> None:
    shutil.copytree(pictures(folder) / "test" / "dog", folder / "images" / "test" / "emu")


def _linked_class(folder: Path) -> None:
    class_folder = pictures(folder) / "train" / "cat"
    class_folder.rename(folder / "elsewhere")
    class_folder.symlink_to(folder / "elsewhere")


def _cut(path: Path) -> None:
    Image.effect_noise((64, 64), 90).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[:600])


def _kind(name: str, message: str, build: Build) -> Kind:
    return Kind(name, ARGUMENTS, message, build)


def _damaged(name: str, message: str, damage: Callable[[Path], object]) -> Kind:
    return _kind(name, message, damaged_picture(damage))


KINDS = [
    _damaged(
        "file that is not an image",
        "1.png is not a readable image: remove it",
        lambda p: p.write_bytes(b"not a picture"),
    ),
    _damaged("empty image", "1.png is not a readable image: remove it", lambda p: p.write_bytes(b"")),
    _damaged("truncated image", "1.png is not a readable image: remove it", _cut),
    _damaged(
        "PostScript under an image's name", "1.png is not a readable", lambda p: Image.new("L", (9, 9)).save(p, "EPS")
    ),
    _damaged("decompression bomb", "1.png has more pixels than", bomb),
    _damaged(
        "image of two million pixels in one column",
        "1.png has 1 x 2000000 pixels, and one side may be at most 300 times the other",
        lambda p: Image.new("1", (1, 2_000_000)).save(p),
    ),
    _damaged(
        "image with pixels that are no numbers",
        "1.png has pixels that are NaN or infinite",
        lambda p: Image.fromarray(np.full((9, 9), np.nan, np.float32)).save(p, "TIFF"),
    ),
    _damaged(
        "image file of a gigabyte", "1.png has 1073741825 bytes", lambda p: sparse(p.name, (1 << 30) + 1)(p.parent)
    ),
    _damaged("link to an image elsewhere", "leads out of", link_out),
    _damaged(
        "broken link",
        "cat holds no image",
        lambda p: [q.unlink() or q.symlink_to("gone") for q in p.parent.iterdir()],
    ),
    _kind("link to a class elsewhere", "leads out of", _linked_class),
    _kind("no class", "no class", lambda folder: (folder / "images").mkdir()),
    _kind("one class", "only the class folder 'cat'", _single_class),
    _kind("class of one image", "'dog'", _single_image),
    _kind("class only in the test split", "class 'emu' has 0 training and 3 test images", _class_only_in_test),
]
