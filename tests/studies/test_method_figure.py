"""Figure and table of the page on the method."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import pdist

from studies.method_figure import builtin_features, class_distances, draw_figure, main, perturbation_steps
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.statistics.feature_set import FeatureSet

PAGE = Path(__file__).parents[2] / "docs" / "method.md"


def separate_classes(scale=1.0):
    """Return features of three well-separated classes."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    return FeatureSet((scale * (rng.normal(size=(60, 8)) + 20 * np.eye(3, 8)[labels])).astype(np.float32), labels)


def test_each_step_changes_radius_and_distance_as_the_page_says():
    network = separate_classes()
    steps = perturbation_steps(network.features.astype(np.float64), network.labels)
    classes = {step: class_statistics(values, network.labels) for step, values in steps.items()}
    radius = {step: statistics.radii.mean() for step, statistics in classes.items()}
    distance = {step: pdist(statistics.means).mean() for step, statistics in classes.items()}
    assert radius["spread"] == pytest.approx(radius["after PCA"] + 1, abs=0.1)
    assert radius["released code"] == pytest.approx(radius["after PCA"]), "the release has no Spread"
    assert distance["spread, then attract"] < 0.95 * distance["spread"]
    assert distance["released code"] > 1.005 * distance["after PCA"]


def test_a_network_has_one_row_of_distances_and_its_gate():
    first, second = class_distances({"large": separate_classes(), "small": separate_classes(0.01)}).splitlines()[2:]
    assert re.fullmatch(r"\| `large` (\| \d+\.\d\d ){6}\| open \|", first)
    assert re.fullmatch(r"\| `small` (\| \d+\.\d\d ){6}\| shut \|", second)


@pytest.mark.parametrize(("scale", "is_open"), [(1.0, True), (0.01, False)])
def test_a_shut_gate_leaves_the_features_as_they_are(scale, is_open):
    network = separate_classes(scale)
    released = perturbation_steps(network.features.astype(np.float64), network.labels)["released code"]
    assert np.array_equal(released, network.features) != is_open


def test_the_cells_of_a_row_are_radii_and_distances_in_the_order_of_the_heads():
    network = separate_classes()
    head, _, row = class_distances({"large": network}).splitlines()
    steps = perturbation_steps(network.features.astype(np.float64), network.labels)
    classes = {step: class_statistics(values, network.labels) for step, values in steps.items()}
    values = {f"radius, {step}": statistics.radii.mean() for step, statistics in classes.items()}
    values |= {f"distance, {step}": pdist(statistics.means).mean() for step, statistics in classes.items()}
    cells = dict(zip(head.strip("| ").split(" | "), row.strip("| ").split(" | "), strict=True))
    numbers = {name: text for name, text in cells.items() if name in values}
    assert numbers == {name: f"{values[name]:.2f}" for name in numbers}
    assert len(numbers) == 6


@pytest.mark.slow
def test_the_figure_has_a_colour_per_class_and_no_library_version(tmp_path):
    draw_figure(separate_classes(), tmp_path / "method.png")
    with Image.open(tmp_path / "method.png") as image:
        assert not image.info["Software"]
        pixels = np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0).tolist()
    for colour in ([31, 119, 180], [255, 127, 14], [44, 160, 44]):
        assert colour in pixels


def test_a_missing_page_is_reported_before_features_are_extracted(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("studies.method_figure.builtin_features", lambda: 1 / 0)
    assert main([str(tmp_path / "none.md")]) == 1
    assert "none.md" in capsys.readouterr().err


@pytest.mark.slow
def test_the_table_of_the_page_agrees_with_the_builtin_networks():
    (table,) = re.findall(r"<!-- table: class_distances -->\n(.*?)\n<!-- end -->", PAGE.read_text(), re.DOTALL)
    computed = class_distances(builtin_features())
    number = re.compile(r"\d+\.\d\d")
    assert number.sub("#", table) == number.sub("#", computed), f"run python -m studies.method_figure {PAGE}"
    # The last digit may depend on the processor.
    pairs = zip(number.findall(table), number.findall(computed), strict=True)
    assert all(abs(float(a) - float(b)) < 0.011 for a, b in pairs)
