"""Heat maps hatch what may be due to chance, and their colours cover the range of the data."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from transfer_exp.report.sweep_figure import add_colour_scale, draw_heat_map

TAUS = np.array([[0.6, 0.1], [-0.2, np.nan]])
IN_BAND = np.array([[False, True], [True, False]])
TEXTS = np.array([["0.60", "0.10"], ["-0.20", "failed"]])


def test_fields_inside_the_null_band_are_hatched_and_every_field_has_its_text():
    axes = Figure().subplots()
    draw_heat_map(axes, TAUS, IN_BAND, TEXTS, 0.6)
    assert [(field.get_x(), field.get_y(), field.get_hatch()) for field in axes.patches] == [
        (0.5, -0.5, "///"),
        (-0.5, 0.5, "///"),
    ]
    assert [text.get_text() for text in axes.texts] == TEXTS.ravel().tolist()


def test_zero_has_the_same_colour_in_every_range_and_the_scale_ends_with_the_data():
    figure = Figure()
    axes = figure.subplots()
    image = draw_heat_map(axes, TAUS, IN_BAND, TEXTS, 0.6)
    assert image.get_clim() == (-0.6, 0.6)
    assert add_colour_scale(figure, image, [axes], TAUS.ravel()).get_ylim() == pytest.approx((-0.2, 0.6))
    only_failed = add_colour_scale(figure, image, [axes], np.array([np.nan]))
    assert only_failed.get_ylim() == pytest.approx((-0.6, 0.6))
