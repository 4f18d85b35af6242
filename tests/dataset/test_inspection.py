"""An inspection reports every fault that a test introduces, and nothing for a faultless dataset."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bad_input.files import bomb
from tests.dataset.test_image_decoding import encode_rgb16
from transfer_exp.dataset.arrays import arrays
from transfer_exp.dataset.image_decoding import ImageDecoder
from transfer_exp.dataset.image_folder import image_folder
from transfer_exp.dataset.image_table import image_table
from transfer_exp.dataset.inspection import inspect_and_log, inspect_dataset, inspect_once
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.errors import InputError
from transfer_exp.store import Store

pytestmark = pytest.mark.slow


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
    return inspect_dataset(image_folder(str(root), **options)).findings


def test_the_summary_lists_classes_sizes_and_formats(root):
    photo(root / "train" / "cat" / "wide.jpg", 50, side=64)
    inspection = inspect_dataset(image_folder(str(root)))
    assert inspection.findings == []
    assert inspection.lines == [
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
    assert "PNG RGB: 16, TIFF L: 1, GIF P: 1" in inspect_dataset(image_folder(str(root))).lines


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


FEW = "1 class(es) with fewer than 5 training images, too few for a reliable score: dog (2)"
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
    "spelling": (add_spelling, ["warning: class names that differ only in capitals or blanks: C at = cat"]),
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
    assert inspection.findings == [
        "note: 4 file(s) were passed over, not images (.txt 3, no suffix 1): a.txt, b.TXT, train/c, ...",
        "warning: 1 file(s) were passed over, HEIF images, which need: pip install pillow-heif (.heic 1): train/e.heic",
    ]


def test_skipped_images_are_reported_as_passed_over(root):
    add_unreadable(root)
    assert list_findings(root, on_unreadable="skip") == [
        "warning: 4 file(s) were passed over, not readable (.png 4): "
        "test/cat/7.png, test/dog/6.png, train/cat/0.png, ..."
    ]


def save(root, name, image, **options):
    image.save(root / "train" / "cat" / name, **options)


def test_what_the_decoder_applied_is_noted(root):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 4096, (20, 20)).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(root / "train" / "cat" / "0.png") as picture:
        save(root, "a.jpg", picture.crop((0, 0, 30, 40)), exif=exif)
        save(root, "c.gif", picture.resize((30, 33)), save_all=True, append_images=[Image.new("RGB", (30, 33))])
    alpha = rng.integers(0, 2, (20, 20), dtype=np.uint8) * 255
    save(root, "b.png", Image.fromarray(np.dstack([rng.integers(0, 256, (20, 20, 3), dtype=np.uint8), alpha])))
    save(root, "d.tif", Image.fromarray(values))
    save(root, "e.tif", Image.fromarray(values[::-1] / np.float32(4096)))
    assert [line for line in list_findings(root) if "look the same" not in line] == [
        "note: 1 image(s) are turned upright by their EXIF orientation: train/cat/a.jpg",
        "note: 1 image(s) have transparent pixels, which show dataset.background: train/cat/b.png",
        "note: 1 image(s) have several frames; only the first is read: train/cat/c.gif",
        "note: 1 image(s) have pixels of more than 8 bits, scaled so that 0 becomes black and 4095 white "
        "(dataset.pixel_range sets other values): train/cat/d.tif",
        "note: 1 image(s) have pixels of more than 8 bits, scaled so that 0 becomes black and 1 white "
        "(dataset.pixel_range sets other values): train/cat/e.tif",
    ]


def test_images_without_a_picture_are_reported_with_the_cause(root):
    rng = np.random.default_rng(0)
    white = np.full((20, 20, 3), 250, dtype=np.uint8)
    alpha = rng.integers(0, 2, (20, 20), dtype=np.uint8) * 255
    save(root, "a.png", Image.fromarray(np.dstack([white, alpha])))
    save(root, "b.png", Image.new("RGB", (9, 9), "red"))
    (root / "train" / "cat" / "c.png").write_bytes(encode_rgb16(rng.integers(0, 4096, (20, 20, 3))))
    save(root, "d.tif", Image.fromarray(rng.integers(0, 16, (20, 20)).astype(np.uint16)))
    assert list_findings(root, pixel_range=[0, 65535])[2:] == [
        "warning: 3 of 22 images show one flat colour: train/cat/a.png, train/cat/b.png, train/cat/d.tif; "
        "1 of them have transparent pixels: try another dataset.background; "
        "1 of them use few of their bits: set dataset.pixel_range",
        "warning: 1 of 22 images are nearly black (no value above 31 of 255): train/cat/c.png; "
        "1 of them use few of their 16 bits, and only the upper 8 are read: save them with 8 bits",
    ]


def test_files_with_equal_pixels_are_the_same_image(root):
    with Image.open(root / "train" / "cat" / "3.png") as image:
        image.save(root / "test" / "cat" / "x.bmp")
    assert list_findings(root) == [
        "warning: the same image is in several splits, 1 time(s): train/cat/3.png = test/cat/x.bmp"
    ]


@pytest.fixture
def reads(monkeypatch):
    """Return the positions of the images that were decoded."""
    decoded, decode = [], ImageDecoder.decode
    monkeypatch.setattr(ImageDecoder, "decode", lambda *a: (decoded.append(a[2]), decode(*a))[1])
    return decoded


def test_the_store_keeps_an_inspection_until_the_images_change(root, store, reads):
    add_leak(root)
    first = inspect_once(image_folder(str(root)), ("train", "test"), ("train",), store)
    assert first[1] == ["warning: the same image is in several splits, 1 time(s): train/cat/3.png = test/cat/x.png"]
    assert len(reads) == 19
    assert inspect_once(image_folder(str(root)), ("train", "test"), ("train",), store) == first
    assert len(reads) == 19
    (root / "test" / "cat" / "x.png").unlink()
    lines, findings = inspect_once(image_folder(str(root)), ("train", "test"), ("train",), store)
    assert (lines[-1], findings, len(reads)) == ("nothing looks wrong", [], 37)
    assert inspect_once(image_folder(str(root)), ("scoring_set",), ("scoring_set",), store)[1] == []
    assert len(reads) == 49, "only the scoring set"


def test_a_store_that_cannot_be_written_does_not_end_a_run(root, tmp_path):
    (tmp_path / "file").write_text("")
    lines, _ = inspect_once(image_folder(str(root)), ("train",), ("train",), Store(tmp_path / "file"))
    assert lines[-1] == "nothing looks wrong"


def test_unreadable_images_end_a_run_before_its_work_if_it_needs_them(root, store):
    add_unreadable(root)
    dataset = image_folder(str(root))
    _, findings = inspect_once(dataset, ("train", "test"), (), store)
    assert findings[0].startswith("warning: 4 of 18 images cannot be read: ")
    expected = r"train/cat/0\.png is not a readable image: .*skip; 1 more cannot be read: .*train/dog/1\.png$"
    for _ in range(2):  # computed, and from the store
        with pytest.raises(InputError, match=expected):
            inspect_once(dataset, ("train",), ("train",), store)
    with pytest.raises(InputError, match=r"3 more cannot be read"):
        inspect_and_log(dataset, ("train", "test"), store)


def test_findings_are_logged_once_in_a_process(root, store, caplog):
    add_leak(root)
    caplog.set_level("INFO")
    for _ in range(2):
        assert len(inspect_and_log(replace(image_folder(str(root)), name="logged_once"), ("train", "test"), store)) == 1
    messages = [(r.levelname, r.message) for r in caplog.records]
    assert messages == [
        ("INFO", "logged_once: 2 classes, because its folders name the classes"),
        ("WARNING", f"logged_once: {inspect_and_log(image_folder(str(root)), ('train', 'test'), store)[0]}"),
    ]


def test_arrays_have_nothing_to_inspect(tmp_path, store):
    np.savez(tmp_path / "net.npz", features=np.ones((4, 2)), labels=[0, 0, 1, 1])
    assert inspect_and_log(arrays(str(tmp_path)), ("train",), store) == []


@pytest.mark.parametrize("workers", [1, 3])
def test_an_image_above_the_pixel_limit_is_unreadable_in_every_thread(root, monkeypatch, workers):
    """The images have 1,600 pixels; above the limit of 1,000, Pillow would only warn."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    inspection = inspect_dataset(image_folder(str(root)), workers)
    assert inspection.lines[4].startswith("warning: 18 of 18 images cannot be read: ")


def test_a_class_in_only_one_split_is_reported(root, tmp_path):
    lines = [f"{path.relative_to(root)},{path.parent.name},{path.parts[-3]}" for path in sorted(root.rglob("*.png"))]
    for i in range(5):
        photo(root / f"owl{i}.png", 70 + i)
        photo(root / f"cat{i}.png", 80 + i)
    lines += [f"owl{i}.png,owl,train" for i in range(5)] + [f"cat{i}.png,cat,validation" for i in range(5)]
    (root / "t.csv").write_text("\n".join(["file,label,split", *lines]))
    assert inspect_dataset(image_table(str(root / "t.csv"))).findings == [
        "note: 2 class(es) without an image in validation: dog, owl",
        "warning: 1 class(es) without an image in test: owl",
    ]


def test_of_many_classes_only_the_smallest_and_largest_are_listed():
    labels = np.repeat(np.arange(30), np.arange(5, 35))
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 3), dtype=np.uint8)
    images = LabelledImages(labels, lambda i: Image.fromarray(pixels[i]), lambda i: pixels[i].tobytes())
    target = TargetDataset("many", tuple(f"c{c}" for c in range(30)), images, images, images)
    lines = inspect_dataset(target).lines
    assert [line.split()[0] for line in lines[1:13]] == ["class", *(f"c{c}" for c in (0, 1, 2, 3, 4)), "...",
                                                        *(f"c{c}" for c in (25, 26, 27, 28, 29))]  # fmt: skip
    assert lines[-1] == (
        "warning: the same image is in several splits, 585 time(s): image 0 = image 0, image 1 = image 1, "
        "image 2 = image 2, ..."
    )


def test_images_without_files_are_inspected_after_decoding(dataset):
    inspection = inspect_dataset(dataset)
    assert inspection.lines[0].endswith(" 96 images")
    widths = "widths 12 to 12 (median 12), heights 12 to 12 (median 12) pixels"
    assert inspection.lines[-3:] == [widths, "RGB: 96", "nothing looks wrong"]


def test_file_names_cannot_control_the_terminal(root):
    (root / "train" / "cat" / "\x1b[2J.png").write_bytes(b"")
    assert all(line.isprintable() for line in inspect_dataset(image_folder(str(root))).lines)


def test_the_result_does_not_depend_on_the_workers_and_every_file_is_read_once(root, monkeypatch):
    add_leak(root)
    add_look_alike(root)
    paths = []
    monkeypatch.setattr(
        "transfer_exp.dataset.image_file.read_bytes", lambda path: (paths.append(path), path.read_bytes())[1]
    )
    events = []
    track = lambda what, total: events.append((what, total)) or (lambda: events.append(1))  # noqa: E731
    single, parallel = (inspect_dataset(image_folder(str(root)), workers, track).lines for workers in (1, 4))
    assert single == parallel
    assert len(paths) == 2 * len(set(paths)) == 40
    assert events == 2 * [("pets: checking images", 20), *[1] * 20]
