"""The figure and the table of the page on the method."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import pdist

from studies.method_figure import draw, main, moved, moves_table, shipped_features
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.statistics.feature_set import FeatureSet

PAGE = Path(__file__).parents[2] / "docs" / "method.md"


def apart(scale=1.0):
    """Return features of three classes that lie well apart."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    return FeatureSet((scale * (rng.normal(size=(60, 8)) + 20 * np.eye(3, 8)[labels])).astype(np.float32), labels)


def test_the_steps_do_what_the_page_says():
    known = apart()
    steps = moved(known.features.astype(np.float64), known.labels)
    classes = {step: class_statistics(values, known.labels) for step, values in steps.items()}
    radius = {step: each.radii.mean() for step, each in classes.items()}
    distance = {step: pdist(each.means).mean() for step, each in classes.items()}
    assert radius["spread"] == pytest.approx(radius["after PCA"] + 1, abs=0.1)
    assert radius["released code"] == pytest.approx(radius["after PCA"]), "the release has no Spread"
    assert distance["spread, then attract"] < 0.95 * distance["spread"]
    assert distance["released code"] > 1.005 * distance["after PCA"]


def test_a_row_says_what_became_of_a_network():
    first, second = moves_table({"large": apart(), "small": apart(0.01)}).splitlines()[2:]
    assert re.fullmatch(r"\| `large` (\| \d+\.\d\d ){6}\| open \|", first)
    cells = second.split(" | ")
    assert cells[-1] == "shut |"
    assert cells[3] == cells[6], "a shut gate leaves the features as they are"


def test_the_figure_gives_every_class_its_colour_and_names_no_library(tmp_path):
    draw(apart(), tmp_path / "method.png")
    with Image.open(tmp_path / "method.png") as image:
        assert not image.info["Software"]
        pixels = np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0).tolist()
    for colour in ([31, 119, 180], [255, 127, 14], [44, 160, 44]):
        assert colour in pixels


def test_a_page_that_is_not_there_is_said_before_anything_is_computed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("studies.method_figure.shipped_features", lambda: 1 / 0)
    assert main([str(tmp_path / "none.md")]) == 1
    assert "none.md" in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_says_what_its_networks_give():
    (shown,) = re.findall(r"<!-- table: moves -->\n(.*?)\n<!-- end -->", PAGE.read_text(), re.DOTALL)
    made = moves_table(shipped_features())
    number = re.compile(r"\d+\.\d\d")
    assert number.sub("#", shown) == number.sub("#", made), f"run python -m studies.method_figure {PAGE}"
    # Another processor may round the last digit otherwise.
    pairs = zip(number.findall(shown), number.findall(made), strict=True)
    assert all(abs(float(a) - float(b)) < 0.011 for a, b in pairs)
