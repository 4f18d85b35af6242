"""An inspection reports every fault that a test introduces, and nothing for a faultless dataset."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bad_input.files import bomb
from transfer_exp.dataset.image_folder import image_folder
from transfer_exp.dataset.image_table import image_table
from transfer_exp.dataset.inspection import inspect_dataset
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset


def photo(path: Path, seed: int, side: int = 40) -> None:
    """Save a smooth random picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def root(tmp_path):
    """Return a faultless folder with six training and three test images of each of two classes."""
    for c, label in enumerate(("cat", "dog")):
        for i in range(9):
            photo(tmp_path / "pets" / ("train" if i < 6 else "test") / label / f"{i}.png", 10 * c + i)
    return tmp_path / "pets"


def list_findings(root, **options):
    return [f"{f.grade}: {f.text}" for f in inspect_dataset(image_folder(str(root), **options)).findings]


def test_the_summary_lists_classes_sizes_and_formats(root):
    photo(root / "train" / "cat" / "wide.jpg", 50, side=64)
    inspection = inspect_dataset(image_folder(str(root)))
    assert inspection.findings == ()
    assert {split: count.tolist() for split, count in inspection.counts.items()} == {"train": [7, 6], "test": [3, 3]}
    assert inspection.format_lines() == [
        f"pets: 2 classes, 19 images below {root}",
        "class  train  test",
        "cat        7     3",
        "dog        6     3",
        "widths 40 to 64 (median 40), heights 40 to 64 (median 40) pixels",
        "PNG RGB: 18, JPEG RGB: 1",
        "nothing looks wrong",
    ]


def test_formats_and_modes_are_read_from_the_files(root):
    Image.open(root / "train" / "cat" / "0.png").convert("L").save(root / "train" / "cat" / "0.tif")
    Image.open(root / "train" / "cat" / "1.png").convert("P").save(root / "train" / "cat" / "1.gif")
    for name in ("0.png", "1.png"):
        (root / "train" / "cat" / name).unlink()
    assert inspect_dataset(image_folder(str(root))).formats == {"PNG RGB": 16, "TIFF L": 1, "GIF P": 1}


def add_unreadable(root):
    (root / "train" / "cat" / "0.png").write_bytes(b"no image")
    content = (root / "train" / "dog" / "1.png").read_bytes()
    (root / "train" / "dog" / "1.png").write_bytes(content[: len(content) // 2])
    bomb(root / "test" / "cat" / "7.png")
    (root / "test" / "dog" / "6.png").write_bytes(b"")


def add_copies(root):
    shutil.copy(root / "train" / "cat" / "0.png", root / "train" / "cat" / "x.png")
    shutil.copy(root / "train" / "cat" / "0.png", root / "train" / "cat" / "y.png")


def add_leak(root):
    shutil.copy(root / "train" / "cat" / "3.png", root / "test" / "cat" / "x.png")


def add_conflict(root):
    shutil.copy(root / "train" / "cat" / "3.png", root / "train" / "dog" / "x.png")


def add_look_alike(root):
    with Image.open(root / "train" / "cat" / "3.png") as image:
        image.resize((90, 90), Image.Resampling.BICUBIC).save(root / "test" / "dog" / "x.jpg", quality=85)


def add_small_class(root):
    for i in range(2, 6):
        (root / "train" / "dog" / f"{i}.png").unlink()


def add_imbalance(root):
    for i in range(20):
        photo(root / "train" / "cat" / f"more{i}.png", 100 + i)
    for i in range(2, 6):
        (root / "train" / "dog" / f"{i}.png").unlink()


def add_extreme_imbalance(root):
    for i in range(194):
        photo(root / "train" / "cat" / f"more{i}.png", 100 + i, side=9)
    add_small_class(root)


def add_spelling(root):
    for split in ("train", "test"):
        shutil.move(root / split / "dog", root / split / "C at")


FEW = "1 class(es) with fewer than 5 training images, too few to score: dog (2)"
FAULTS = {
    "unreadable": (
        add_unreadable,
        ["warning: 4 of 18 images cannot be read: train/cat/0.png, train/dog/1.png, test/cat/7.png, ..."],
    ),
    "copies": (
        add_copies,
        [
            "note: the same image is in one split more than once, 2 time(s): "
            "train/cat/0.png = train/cat/x.png, train/cat/0.png = train/cat/y.png"
        ],
    ),
    "leak": (
        add_leak,
        ["warning: the same image is in several splits, 1 time(s): train/cat/3.png = test/cat/x.png"],
    ),
    "conflicting labels": (
        add_conflict,
        [
            "warning: the same image is in several classes, 1 time(s): train/cat/3.png (cat) = train/dog/x.png (dog)",
            "note: the same image is in one split more than once, 1 time(s): train/cat/3.png = train/dog/x.png",
        ],
    ),
    "look-alike": (
        add_look_alike,
        [
            "warning: images that look the same are in several splits (thumbnails of 8 x 8 within 5 of 255 levels), "
            "1 time(s): train/cat/3.png = test/dog/x.jpg",
            "warning: images that look the same are in several classes (thumbnails of 8 x 8 within 5 of 255 levels), "
            "1 time(s): train/cat/3.png (cat) = test/dog/x.jpg (dog)",
        ],
    ),
    "small class": (add_small_class, [f"warning: {FEW}"]),
    "imbalance": (
        add_imbalance,
        [f"warning: {FEW}", "note: cat has 26 training images, 13 times those of dog (2)"],
    ),
    "extreme imbalance": (
        add_extreme_imbalance,
        [f"warning: {FEW}", "warning: cat has 200 training images, 100 times those of dog (2)"],
    ),
    "spelling": (add_spelling, ["warning: 1 class(es) differ only in capitals or blanks: C at = cat"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_reported_and_nothing_else(root, fault):
    add_fault, expected = FAULTS[fault]
    add_fault(root)
    assert list_findings(root) == expected


def test_files_that_were_passed_over_are_counted_by_reason_and_suffix(root):
    names = ("a.txt", "b.TXT", "train/c", "d.txt")
    passed_over = {"not images": names, "HEIF images, which need: pip install pillow-heif": ("train/e.heic",)}
    inspection = inspect_dataset(replace(image_folder(str(root)), passed_over=passed_over))
    assert [f"{f.grade}: {f.text}" for f in inspection.findings] == [
        "note: 4 file(s) were passed over, not images (.txt 3, no suffix 1): a.txt, b.TXT, train/c, ...",
        "warning: 1 file(s) were passed over, HEIF images, which need: pip install pillow-heif (.heic 1): train/e.heic",
    ]


def test_skipped_images_are_reported_as_passed_over(root):
    add_unreadable(root)
    assert list_findings(root, on_unreadable="skip") == [
        "warning: 4 file(s) were passed over, not readable (.png 4): "
        "test/cat/7.png, test/dog/6.png, train/cat/0.png, ..."
    ]


@pytest.mark.parametrize("workers", [1, 3])
def test_an_image_above_the_pixel_limit_is_unreadable_in_every_thread(root, monkeypatch, workers):
    """The images have 1,600 pixels; above the limit of 1,000, Pillow would only warn."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    inspection = inspect_dataset(image_folder(str(root)), workers)
    assert (inspection.widths, inspection.heights, inspection.formats) == (None, None, {})
    assert inspection.format_lines()[4].startswith("warning: 18 of 18 images cannot be read: ")


def test_a_class_in_only_one_split_is_reported(root, tmp_path):
    lines = [f"{path.relative_to(root)},{path.parent.name},{path.parts[-3]}" for path in sorted(root.rglob("*.png"))]
    for i in range(5):
        photo(root / f"owl{i}.png", 70 + i)
        photo(root / f"cat{i}.png", 80 + i)
    lines += [f"owl{i}.png,owl,train" for i in range(5)] + [f"cat{i}.png,cat,validation" for i in range(5)]
    (root / "t.csv").write_text("\n".join(["file,label,split", *lines]))
    assert [f"{f.grade}: {f.text}" for f in inspect_dataset(image_table(str(root / "t.csv"))).findings] == [
        "note: 2 class(es) without an image in validation: dog, owl",
        "warning: 1 class(es) without an image in test: owl",
    ]


def test_of_many_classes_only_the_smallest_and_largest_are_listed():
    labels = np.repeat(np.arange(30), np.arange(5, 35))
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 3), dtype=np.uint8)
    images = LabelledImages(labels, lambda i: Image.fromarray(pixels[i]), lambda i: pixels[i].tobytes())
    target = TargetDataset("many", tuple(f"c{c}" for c in range(30)), images, images, images)
    lines = inspect_dataset(target).format_lines()
    assert [line.split()[0] for line in lines[1:13]] == ["class", *(f"c{c}" for c in (0, 1, 2, 3, 4)), "...",
                                                        *(f"c{c}" for c in (25, 26, 27, 28, 29))]  # fmt: skip
    assert lines[-1] == (
        "warning: the same image is in several splits, 585 time(s): image 0 = image 0, image 1 = image 1, "
        "image 2 = image 2, ..."
    )


def test_images_without_files_are_inspected_after_decoding(dataset):
    inspection = inspect_dataset(dataset)
    assert (inspection.folder, inspection.formats, inspection.widths) == ("", {"RGB": 96}, (12, 12, 12))
    assert inspection.findings == ()


def test_file_names_cannot_control_the_terminal(root):
    (root / "train" / "cat" / "\x1b[2J.png").write_bytes(b"")
    assert all(line.isprintable() for line in inspect_dataset(image_folder(str(root))).format_lines())


def test_the_result_does_not_depend_on_the_workers_and_every_file_is_read_once(root, monkeypatch):
    add_leak(root)
    add_look_alike(root)
    paths = []
    monkeypatch.setattr(
        "transfer_exp.dataset.image_file.read_bytes", lambda path: (paths.append(path), path.read_bytes())[1]
    )
    events = []
    track = lambda what, total: events.append((what, total)) or (lambda: events.append(1))  # noqa: E731
    single, parallel = (inspect_dataset(image_folder(str(root)), workers, track).format_lines() for workers in (1, 4))
    assert single == parallel
    assert len(paths) == 2 * len(set(paths)) == 40
    assert events == 2 * [("pets: images", 20), *[1] * 20]
