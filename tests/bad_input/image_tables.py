"""Lists of images and labels (CSV) that cannot be used, or are dangerous to read."""

from __future__ import annotations

from tests.bad_input.files import pictures, sequence, text
from tests.bad_input.kind import Kind

ARGUMENTS = (
    "model_pool.names=[resnet_glyphs]",
    "tracker=none",
    "dataset=image_table",
    "dataset.path=list.csv",
    "ground_truth=none",
)
LINES = [f"images/train/{label}/{i}.png,{label}" for label in ("cat", "dog") for i in range(3)]
SOUND = "\n".join(["file,label", *LINES, ""])


def _list(name: str, message: str, content: str | bytes) -> Kind:
    return Kind(f"list of images {name}", ARGUMENTS, message, sequence(pictures, text("list.csv", content)))


KINDS = [
    Kind("list of images that does not exist", ARGUMENTS, "no table dataset.path=list.csv"),
    _list("without labels", "list.csv lacks the column 'label'", SOUND.replace("label", "lable")),
    _list("with an empty label", "line 2: label '' is empty", SOUND.replace("0.png,cat", "0.png,", 1)),
    _list(
        "with an unknown split",
        "is unknown: use train",
        SOUND.replace("\n", ",some\n").replace("label,some", "label,split"),
    ),
    _list("with a duplicate file", "is in an earlier line too", f"{SOUND}./{LINES[0]}\n"),
    _list("with a missing file", "gone.png", f"{SOUND}gone.png,dog\n"),
    Kind(
        "list of images with a file outside its folder",
        (*ARGUMENTS, "dataset.root=images"),
        "leads out of",
        sequence(pictures, text("list.csv", "file,label\n../list.csv,dog\n")),
    ),
    _list("with a too long name", "impossible file name", f"{SOUND}{'n' * 5000},dog\n"),
    _list("with a NUL", "contains a NUL", f"{SOUND}a\0.png,dog\n"),
    _list("of one class", "has training images of", "\n".join(["file,label", *LINES[:3], ""])),
    _list("that is empty", "its first line must name the columns", ""),
    _list("in UTF-16", "is not UTF-8 text", SOUND.encode("utf-16")),
]
