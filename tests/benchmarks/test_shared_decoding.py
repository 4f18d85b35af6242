"""What is said of shared decoding: the aims are reached in the stored rows, and every way looks at every image."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.shared_decoding import POOLS, Sides, draw, measured
from transfer_exp.vision import timm

ROWS = Path(__file__).parents[2] / "docs" / "results" / "shared_decoding.csv"


def test_the_page_may_say_that_the_aims_are_reached():
    with ROWS.open(newline="") as file:
        rows = {int(row["models"]): row for row in csv.DictReader(file) if row["by"] == "processor"}
    assert tuple(rows) == POOLS
    assert float(rows[1]["bare / shared"]) >= 0.95
    reached = [models for models, row in rows.items() if float(row["separate / shared"]) >= 1.5]
    assert reached == [4, 8], "as the page says"


@pytest.fixture
def sides(tmp_path):
    networks = {name: timm.create_model(name, pretrained=False).eval() for name in ("test_resnet", "test_efficientnet")}
    return Sides(draw(tmp_path, 3), networks, workers=0)


def test_files_are_those_that_are_said(sides):
    for path in sides.paths:
        with Image.open(path) as image:
            assert (image.format, image.size) == ("JPEG", (500, 375))


@pytest.mark.parametrize(("way", "times"), [("shared", 1), ("separate", 2), ("bare", 2)])
def test_every_way_reads_what_it_is_said_to(way, times, sides, monkeypatch):
    opened = Counter()
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda path, **options: opened.update([path]) or real(path, **options))
    getattr(sides, way)(2)
    assert opened == Counter(dict.fromkeys(sides.paths, times))


def test_a_row_compares_within_turns(sides):
    by_processor, by_clock = measured(sides, models=1, turns=2)
    assert (by_processor["by"], by_clock["by"]) == ("processor", "clock")
    for row in (by_processor, by_clock):
        assert (row["models"], row["images"], row["turns"]) == (1, 3, 2)
        low, high = map(float, str(row["bare from - to"]).split(" - "))
        assert 0 < low <= float(str(row["bare / shared"])) <= high
