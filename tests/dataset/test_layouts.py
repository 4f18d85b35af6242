"""The same images are read from a folder, a CSV and a hub dataset, whatever the layout and the names."""

from __future__ import annotations

import csv
import shutil
import unicodedata
from pathlib import Path

import pytest
from example_datasets import write_picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from transfer_exp.dataset.huggingface import huggingface
from transfer_exp.dataset.image_folder import image_folder
from transfer_exp.dataset.image_table import image_table

datasets = pytest.importorskip("datasets", reason="needs the huggingface extra")

SPELLINGS = {
    "train": ["train", "Train", "TRAIN", "training", "Training"],
    "validation": ["val", "valid", "Valid", "validation", "dev"],
    "test": ["test", "Test", "TESTING", "eval"],
}
JUNK = [".DS_Store", "Thumbs.db", "._0.png", "notes.txt", ".ipynb_checkpoints/0.png", "empty/"]
CHARACTERS = st.characters(exclude_characters="/\0\\", exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"))


def is_visible(name):
    return any(character.isprintable() for character in name)


CLASS_NAMES = (
    st.sampled_from(
        ["train car", "NA", "nan", "None", "0", "=1+1", "a;b,c|d", 'the "dog"', "caf\u00e9", "日本", "a${b}"]
    )
    | st.text(CHARACTERS, min_size=1, max_size=8)
).filter(
    lambda name: is_visible(name) and not name.startswith(".") and name.strip() == name and len(name.encode()) < 200
)


@st.composite
def layouts(draw):
    """Return the class names and, for each split with its spelling, the files of each class."""
    names = draw(st.lists(CLASS_NAMES, min_size=2, max_size=3, unique_by=lambda n: unicodedata.normalize("NFC", n)))
    chosen = draw(st.sampled_from([(), ("train",), ("train", "test"), ("train", "validation"), tuple(SPELLINGS)]))
    file = st.sampled_from(["{}.png", "{}.PNG", "in/{}.png", "in/deep er/{}.jpg", "ü{}"])
    files = st.lists(file, min_size=3, max_size=4)
    splits = {split: draw(st.sampled_from(SPELLINGS[split])) for split in chosen} or {"train": ""}
    return names, {
        split: (spelling, {name: [f.format(i) for i, f in enumerate(draw(files))] for name in names})
        for split, spelling in splits.items()
    }


def contents(target):
    """Return the class and content of every image of a dataset by split; held-out images count as training."""
    splits = {"train": target.train, "validation": target.validation, "test": target.test}
    return {
        split: sorted((target.class_names[c], images.fingerprint(i)) for i, c in enumerate(images.labels))
        for split, images in splits.items()
        if images is not None
    }


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(layout=layouts(), junk=st.lists(st.sampled_from(JUNK), unique=True), decomposed=st.booleans())
def test_folder_table_and_hub_read_the_same_images(tmp_path_factory, layout, junk, decomposed):
    root = tmp_path_factory.getbasetemp() / "layout"
    shutil.rmtree(root, ignore_errors=True)
    names, splits = layout
    rows, number = [], 0
    for split, (spelling, classes) in splits.items():
        for label, files in classes.items():
            folder = Path(spelling) / unicodedata.normalize("NFD" if decomposed else "NFC", label)
            for file in files:
                number += 1
                write_image(root / folder / file, number)
                rows.append([str(folder / file), label, spelling or "train", split])
            for name in junk:
                path = root / folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.mkdir() if name.endswith("/") else path.write_bytes(b"no image")
    with (root / "list.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows([["file", "label", "split"], *(row[:3] for row in rows)])

    folder = image_folder(str(root), test_fraction=0.3)
    table = image_table(str(root / "list.csv"), test_fraction=0.3)
    assert folder.class_names == table.class_names == tuple(sorted(unicodedata.normalize("NFC", n) for n in names))
    assert merged(folder, splits) == merged(table, splits)
    assert sum(map(len, contents(folder).values())) == number
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load_dataset", lambda *_, **__: hub(root, rows))
        target = huggingface("owner/name", label_column="label", test_fraction=0.3)
    assert merged(target, splits) == merged(folder, splits)


def write_image(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jpg":
        write_picture(path, number, number)
    else:
        Image.new("RGB", (4, 4), (number, 0, 0)).save(path, "PNG")


def hub(root, rows):
    """Return the rows as splits of a hub dataset with string labels."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    parts = {}
    for file, label, spelling, _ in rows:
        part = parts.setdefault(spelling, {"image": [], "label": []})
        part["image"].append({"bytes": (root / file).read_bytes(), "path": None})
        part["label"].append(label)
    return datasets.DatasetDict({s: datasets.Dataset.from_dict(part, features=features) for s, part in parts.items()})


def merged(target, splits):
    """Return the contents of a dataset, with held-out test images among the training images."""
    parts = contents(target)
    if "test" not in splits:
        parts["train"] = sorted(parts["train"] + parts.pop("test"))
    return parts
