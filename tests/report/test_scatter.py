"""The figure of a cell is drawn for every kind of result, and its labels do not overlap."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from transfer_exp.report.ranking_table import notable_models
from transfer_exp.report.scatter import place_labels, scatter
from transfer_exp.results.cell import CellResult, ModelResult

pytestmark = pytest.mark.slow

CELL = {"dataset": "digits", "perturbation": "none", "metric": "logme"}


def models(scores, accuracies):
    return tuple(ModelResult(f"m{i}", s, a) for i, (s, a) in enumerate(zip(scores, accuracies, strict=True)))


@pytest.mark.parametrize(
    "result",
    [
        CellResult(CELL, models([1.0, 2.0, 3.0], [0.5, 0.7, 0.6]), {"weighted_tau": 0.2}, (-1.0, 1.0)),
        CellResult(CELL, models([1.0, 1.0, 1.0], [0.5, 0.7, 0.6]), {"weighted_tau": 0.0}, (-1.0, 1.0), tied=True),
        CellResult(CELL, models([1.0, 2.0, None], [None, None, None])),
        CellResult(CELL, models([1.0, 2.0, 3.0], [0.5, None, None])),
        CellResult(CELL, models([None], [0.5])),
        CellResult({}, ()),
    ],
    ids=["points", "tied", "no ground truth", "one accuracy", "all skipped", "empty"],
)
def test_every_kind_of_result_gives_a_picture_and_no_warning(result, tmp_path, recwarn):
    path = scatter(result, tmp_path / "new" / "scatter.png")
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert np.asarray(picture.convert("L")).std() > 1
    assert [str(warning.message) for warning in recwarn] == []
    assert [p.name for p in path.parent.iterdir()] == ["scatter.png"]


def drawn_boxes(points, labelled=None):
    figure = Figure(figsize=(7, 5), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set(xlim=(-1, 10), ylim=(-1, 10))
    labelled = range(len(points)) if labelled is None else labelled
    place_labels(figure, axes, points, [f"model_number_{i}" if i in labelled else "" for i in range(len(points))])
    for text in axes.texts:
        text.update_positions(canvas.get_renderer())
    # Extent of the text only: that of an annotation includes its line, which may pass under a label.
    boxes = np.array([Text.get_window_extent(text, canvas.get_renderer()).extents for text in axes.texts])
    return axes, boxes


def overlaps(first, second):
    return bool((np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]) > 1.5).all())


def test_labels_of_close_points_overlap_neither_each_other_nor_a_point():
    points = np.array([[5, 5], [5.2, 5.1], [4.9, 5.2], [5, 4.8], [9.8, 9.8], [-0.8, -0.8], [9.9, -0.9]], dtype=float)
    axes, boxes = drawn_boxes(points)
    assert len(boxes) == len(points)
    assert not any(overlaps(boxes[i], boxes[j]) for i in range(len(boxes)) for j in range(i))
    pixels = axes.transData.transform(points)
    assert not any(overlaps(box, np.concatenate([p - 3, p + 3])) for box in boxes for p in pixels)
    frame = axes.bbox.extents
    assert (boxes[:, :2] >= frame[:2] - 2).all()
    assert (boxes[:, 2:] <= frame[2:] + 2).all()


def test_only_named_points_have_labels_which_do_not_overlap():
    rng = np.random.default_rng(0)
    _, boxes = drawn_boxes(rng.uniform(2, 8, (60, 2)), range(5))
    assert len(boxes) == 5
    assert not any(overlaps(boxes[i], boxes[j]) for i in range(len(boxes)) for j in range(i))


def test_the_five_best_the_highest_score_and_outliers_are_named():
    accuracies = np.linspace(0.9, 0.5, 20)
    scores = np.linspace(2.0, 1.0, 20)
    scores[19], scores[18] = 3.0, 0.0  # the worst model has the highest score
    result = CellResult(CELL, models(scores.tolist(), accuracies.tolist()))
    assert notable_models(result) == {"m0", "m1", "m2", "m3", "m4", "m19"}
