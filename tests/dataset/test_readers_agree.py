"""Folder, CSV and hub readers give the same pixels, labels, keys and findings for the same images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.dataset.test_image_decoding import UPRIGHT, compose, encode, encode_oriented
from transfer_exp.dataset import huggingface as hub
from transfer_exp.dataset.image_folder import image_folder
from transfer_exp.dataset.image_table import image_table
from transfer_exp.dataset.inspection import inspect_dataset

datasets = pytest.importorskip("datasets", reason="needs the huggingface extra")
SUFFIXES = {"PNG": (".png", ".PNG", "", ".apng", ".jpg", ".0001"), "TIFF": (".tif", ".TIFF", "", ".scan")}
SPLITS = ("train", "train", "test")


@st.composite
def encoded_images(draw):
    """Return the suffix, the content, and the expected pixels of an image as a function of the range of integers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    orientation, format = draw(st.integers(1, 8)), draw(st.sampled_from(list(SUFFIXES)))
    kind = draw(st.sampled_from(["L", "RGB", "RGBA", "12 bits", "float"]))
    values = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    alpha = rng.integers(0, 256, (height, width), dtype=np.uint8)
    if kind == "12 bits":
        deep = rng.integers(0, 4096, (height, width)).astype(np.uint16)
        image, expected = Image.fromarray(deep), lambda highest: grey(np.rint(deep * 255.0 / highest))
    elif kind == "float":
        format, shares = "TIFF", rng.uniform(0, 1, (height, width)).astype(np.float32)
        image, expected = Image.fromarray(shares), lambda highest: grey(np.rint(shares * 255.0))
    elif kind == "RGBA":
        image, expected = (
            Image.fromarray(np.dstack([values, alpha])),
            lambda highest: compose(values, alpha, (255,) * 3),
        )
    elif kind == "L":
        image, expected = Image.fromarray(values[..., 0]), lambda highest: grey(values[..., 0])
    else:
        image, expected = Image.fromarray(values), lambda highest: values
    content = encode(image, format) if orientation == 1 else encode_oriented(image, format, orientation)
    pixels = lambda highest: UPRIGHT[orientation](expected(highest))  # noqa: E731
    bits = int(deep.max()).bit_length() if kind == "12 bits" else 0
    return draw(st.sampled_from(SUFFIXES[format])), content, pixels, bits


def grey(values):
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.slow
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(images=st.lists(encoded_images(), min_size=6, max_size=6))
def test_every_reader_gives_the_expected_pixels(images, tmp_path_factory, monkeypatch):
    root = tmp_path_factory.mktemp("readers")
    places = [(split, label) for split, label in zip(SPLITS * 2, "aaabbb", strict=True)]
    lines, rows = ["file,label,split"], {"train": [], "test": []}
    for i, ((suffix, content, _, _), (split, label)) in enumerate(zip(images, places, strict=True)):
        path = root / "folder" / split / label / f"{i}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        lines.append(f"folder/{split}/{label}/{i}{suffix},{label},{split}")
        rows[split].append({"image": {"bytes": content, "path": None}, "label": label})
    (root / "list.csv").write_text("\n".join(lines))
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    splits = {name: datasets.Dataset.from_list(part, features=features) for name, part in rows.items()}
    monkeypatch.setattr(hub, "_load_splits", lambda id, config: splits)
    readers = [image_folder(str(root / "folder")), image_table(str(root / "list.csv")), hub.huggingface("owner/name")]

    highest = 2.0 ** min(b for b in (8, 10, 12) if b >= max(bits for *_, bits in images)) - 1
    for dataset in readers:
        for split in ("train", "test"):
            expected = [pixels for (_, _, pixels, _), place in zip(images, places, strict=True) if place[0] == split]
            part = getattr(dataset, split)
            assert part.labels.tolist() == [0, 0, 1, 1][:: 1 if split == "train" else 2]
            for i, pixels in enumerate(expected):
                np.testing.assert_array_equal(np.asarray(part.read(i)), pixels(highest))
    assert len({(dataset.train.digest, dataset.test.digest) for dataset in readers}) == 1
    inspections = [inspect_dataset(dataset) for dataset in readers]
    assert len({(*inspection.lines[4:6], len(inspection.findings)) for inspection in inspections}) == 1


@pytest.mark.parametrize("skip", [True, False])
def test_a_damaged_image_is_left_out_or_named_by_every_reader(tmp_path, monkeypatch, skip):
    contents = [encode(Image.effect_noise((9, 9), 40 + i)) for i in range(12)]
    contents[4] = contents[4][:50]
    rows, lines = [], ["file,label"]
    for i, content in enumerate(contents):
        path = tmp_path / "folder" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        lines.append(f"folder/{'ab'[i % 2]}/{i}.png,{'ab'[i % 2]}")
        rows.append({"image": {"bytes": content, "path": None}, "label": "ab"[i % 2]})
    (tmp_path / "list.csv").write_text("\n".join(lines))
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    monkeypatch.setattr(hub, "_load_splits", lambda *a: {"train": datasets.Dataset.from_list(rows, features=features)})
    mode = "skip" if skip else "refuse"
    for dataset in (
        image_folder(str(tmp_path / "folder"), on_unreadable=mode),
        image_table(str(tmp_path / "list.csv"), on_unreadable=mode),
        hub.huggingface("owner/name", on_unreadable=mode),
    ):
        inspection = inspect_dataset(dataset)
        assert len(dataset.train) + len(dataset.test) == (11 if skip else 12)
        assert {reason: len(names) for reason, names in dataset.passed_over.items()} == (
            {"not readable": 1} if skip else {}
        )
        assert len(inspection.unreadable) == (0 if skip else 1)
        assert "skip" in next(iter(inspection.unreadable.values()), "skip"), "the message has the option"
