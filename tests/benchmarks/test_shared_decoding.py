"""Shared decoding: the stored rows reach the aims, and every way decodes every image."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image, ImageFile

from benchmarks.shared_decoding import POOLS, ExtractionMethods, draw, measure
from transfer_exp.vision import timm

pytestmark = pytest.mark.slow

ROWS = Path(__file__).parents[2] / "docs" / "results" / "shared_decoding.csv"


def test_the_stored_rows_reach_the_aims_of_the_page():
    with ROWS.open(newline="") as file:
        rows = {int(row["models"]): row for row in csv.DictReader(file) if row["by"] == "processor"}
    assert tuple(rows) == POOLS
    assert float(rows[1]["bare / shared"]) >= 0.95
    reached = [models for models, row in rows.items() if float(row["separate / shared"]) >= 1.5]
    assert reached == [4, 8], "stated on the page"


@pytest.fixture
def methods(tmp_path):
    networks = {name: timm.create_model(name, pretrained=False).eval() for name in ("test_resnet", "test_efficientnet")}
    return ExtractionMethods(draw(tmp_path, 3), networks, workers=0)


def test_the_generated_files_are_jpegs_of_the_documented_size(methods):
    for path in methods.paths:
        with Image.open(path) as image:
            assert (image.format, image.size) == ("JPEG", (500, 375))


@pytest.mark.parametrize(("way", "times"), [("shared", 1), ("separate", 2), ("bare", 2)])
def test_every_way_decodes_each_image_the_expected_number_of_times(way, times, methods, monkeypatch):
    decoded, load = Counter(), ImageFile.ImageFile.load

    def counted_load(image):
        decoded.update([way] if image.tile else [])  # the tiles that are not decoded yet
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counted_load)
    getattr(methods, way)(2)
    assert decoded[way] == times * len(methods.paths)


def test_ratios_are_computed_within_repeats(methods):
    by_processor, by_clock = measure(methods, models=1, turns=2)
    assert (by_processor["by"], by_clock["by"]) == ("processor", "clock")
    for row in (by_processor, by_clock):
        assert (row["models"], row["images"], row["turns"]) == (1, 3, 2)
        low, high = map(float, str(row["bare from - to"]).split(" - "))
        assert 0 < low <= float(str(row["bare / shared"])) <= high
