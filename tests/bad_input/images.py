"""Folders of images that cannot be read, or should not be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.bad_input.files import Build, bomb, link_out, pictures, sparse, spoiled
from tests.bad_input.kind import Kind

ARGUMENTS = (
    "model_pool.names=[resnet_glyphs]",
    "tracker=none",
    "dataset=image_folder",
    "dataset.root=images",
    "ground_truth=none",
)


def _lonely(folder: Path) -> None:
    for path in (pictures(folder) / "train" / "dog").iterdir():
        if path.name != "0.png":
            path.unlink()


def _single(folder: Path) -> None:
    root = pictures(folder)
    for split in ("train", "test"):
        shutil.rmtree(root / split / "dog")


def _more(folder: Path) -> None:
    shutil.copytree(pictures(folder) / "test" / "dog", folder / "images" / "test" / "emu")


def _linked_class(folder: Path) -> None:
    place = pictures(folder) / "train" / "cat"
    place.rename(folder / "elsewhere")
    place.symlink_to(folder / "elsewhere")


def _cut(path: Path) -> None:
    Image.effect_noise((64, 64), 90).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[:600])


def _kind(name: str, message: str, build: Build) -> Kind:
    return Kind(name, ARGUMENTS, message, build)


def _one(name: str, message: str, spoil: Callable[[Path], object]) -> Kind:
    return _kind(name, message, spoiled(spoil))


KINDS = [
    _one("image that is none", "1.png is not a readable image: remove it", lambda p: p.write_bytes(b"not a picture")),
    _one("empty image", "1.png is not a readable image: remove it", lambda p: p.write_bytes(b"")),
    _one("image that is cut off", "1.png is not a readable image: remove it", _cut),
    _one(
        "PostScript under an image's name", "1.png is not a readable", lambda p: Image.new("L", (9, 9)).save(p, "EPS")
    ),
    _one("decompression bomb", "1.png has more pixels than", bomb),
    _one("image file of a gigabyte", "1.png has 1073741825 bytes", lambda p: sparse(p.name, (1 << 30) + 1)(p.parent)),
    _one("link to an image elsewhere", "leads out of", link_out),
    _one(
        "link that leads nowhere",
        "cat holds no image",
        lambda p: [q.unlink() or q.symlink_to("gone") for q in p.parent.iterdir()],
    ),
    _kind("link to a class elsewhere", "leads out of", _linked_class),
    _kind("no class", "no class", lambda folder: (folder / "images").mkdir()),
    _kind("one class", "only the class folder 'cat'", _single),
    _kind("class of one image", "'dog'", _lonely),
    _kind("class of the test split alone", "'emu' is in test but not in train", _more),
]
