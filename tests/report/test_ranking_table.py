"""Terminal table of a cell: rows, verdict, and layout on a narrow terminal and in a pipe."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from transfer_exp.report.ranking_table import ranking_table, score_format
from transfer_exp.results.cell import CellResult, ModelResult, ranks

CELL = {"dataset": "digits", "perturbation": "none", "metric": "logme"}
MODELS = (
    ModelResult("resnet[small]", 0.51234, 0.7),
    ModelResult("vit", 0.61234, 0.9),
    ModelResult("convnext", 0.51234, 0.8),
    ModelResult("headless", None, 0.95, "LEEP needs a classifier head"),
)
MEASURES = {"weighted_tau": 0.8123, "kendall": 0.5, "rel_at_3": 0.9876, "regret": 0.0123}


def rendered(result, width=80):
    text = io.StringIO()
    Console(file=text, width=width).print(ranking_table(result))
    return text.getvalue()


def result(tau=0.8123, band=(-0.5, 0.55), **options):
    return CellResult(CELL, MODELS, {**MEASURES, "weighted_tau": tau}, band, **options)


def test_ranks_start_at_one_and_ties_share_their_mean():
    assert ranks([3.0, 1.0, None, 3.0, 7.0]) == [2.5, 4, None, 2.5, 1]
    assert ranks([]) == []


def test_the_best_score_comes_first_and_skipped_models_last_with_their_reason():
    lines = rendered(result()).splitlines()
    rows = [line.split() for line in lines]
    assert rows[3] == ["1", "vit", "0.612", "0.900", "1"]
    assert rows[4] == ["2.5", "resnet[small]", "0.512", "0.700", "3"]
    assert rows[5] == ["2.5", "convnext", "0.512", "0.800", "2"]
    assert lines[6] == "skipped headless: LEEP needs a classifier head"


@pytest.mark.parametrize(
    ("tau", "tied", "verdict"),
    [
        (0.8, False, "better than chance"),
        (0.55, False, "within chance"),
        (-0.5, False, "within chance"),
        (-0.8, False, "worse than chance"),
        (0.0, True, "tied"),
    ],
)
def test_the_verdict_compares_tau_with_chance(tau, tied, verdict):
    text = rendered(result(tau, tied=tied))
    assert f"tau_w {tau:.2f}   95 % null band [-0.50, 0.55] for 3 models: {verdict}" in text
    assert "rel@3 0.988   regret 0.012" in text


def test_the_level_of_the_null_band_is_printed():
    assert "90 % null band" in rendered(result(null_level=0.9))


def test_without_ground_truth_there_are_no_accuracy_columns():
    unlabelled = CellResult(CELL, tuple(ModelResult(m.model, m.score) for m in MODELS[:3]))
    text = rendered(unlabelled)
    assert "accuracy" not in text
    assert "no ground truth" in text
    assert "0.612" in text


def test_a_single_comparable_model_gives_no_correlation():
    text = rendered(CellResult(CELL, (ModelResult("a", 1.0, 0.5), ModelResult("b", 2.0))))
    assert "a correlation needs two" in text
    assert "tau_w" not in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_fits_the_width_and_is_plain_text_in_a_pipe(width):
    long = ModelResult("hf-hub:someone/" + "a_very_long_name_" * 4, 0.7, 0.6)
    text = rendered(CellResult(CELL, (*MODELS, long), MEASURES, (-0.5, 0.5)), width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert "a_very_long_name_" * 4 in "".join(line[7:].split(" ")[0] for line in text.splitlines()) or width > 100


@pytest.mark.parametrize(
    ("scores", "texts"),
    [
        ([0.9345, 0.9412], ["0.93450", "0.94120"]),
        ([-104442.5, -122435.3], ["-104442", "-122435"]),
        ([5.0, 5.0], ["5.0000", "5.0000"]),
        ([1e300, -1e300], ["1.000e+300", "-1.000e+300"]),
        ([2e-9, 1e-9], ["2.000e-09", "1.000e-09"]),
        ([], []),
    ],
)
def test_different_scores_look_different(scores, texts):
    assert [score_format(scores).format(score) for score in scores] == texts


def test_models_skipped_for_one_reason_share_a_line():
    models = (*tuple(ModelResult(name, None, reason="no head") for name in "ab"), ModelResult("c", 1.0, 0.5))
    text = rendered(CellResult({"dataset": "d", "metric": "m"}, models))
    assert text.count("no head") == 1
    assert "skipped a, b: no head" in text


def test_a_row_is_one_line_of_80_columns():
    name = "vit_base_patch16_224.augreg2_in21k_ft_in1k"
    rows = [ModelResult(f"{name}{i}", -0.5 - i / 3, 0.8 - i / 7) for i in range(3)]
    lines = rendered(CellResult(CELL, tuple(rows), MEASURES, (-0.5, 0.5)), 80).splitlines()
    assert [sum(f"{name}{i}" in line for line in lines) for i in range(3)] == [1, 1, 1]
    assert max(map(len, lines)) <= 80


def test_a_long_ranking_shows_the_top_and_names_the_file_with_the_others():
    models = tuple(ModelResult(f"net{i}", -float(i)) for i in range(200))
    console = Console(width=80, file=io.StringIO())
    console.print(ranking_table(CellResult(CELL, models), Path("outputs/runs/one"), top=20))
    text = console.file.getvalue()
    assert "net19 " in text
    assert "net20" not in text
    assert "\nand 180 more (--top 0 shows all):\n  outputs/runs/one/ranking.csv\n" in text
    assert len(text.splitlines()) < 30


def test_errors_have_their_name_and_value_in_the_table_and_the_smallest_is_first():
    models = (ModelResult("a", 0.9, 12.5), ModelResult("b", 0.5, 3.25), ModelResult("c", 0.1, 30.0))
    cell = CellResult(CELL, models, measure="rmse")
    lines = [line.split() for line in rendered(cell).splitlines()]
    assert lines[1] == ["rank", "model", "score", "rmse", "rmse", "rank"]
    assert [line[1:] for line in lines[3:6]] == [
        ["a", "0.900", "12.500", "2"],
        ["b", "0.500", "3.250", "1"],
        ["c", "0.100", "30.000", "3"],
    ]
    assert cell.most_accurate.model == "b"
