"""The answer of a page: which models to fine-tune and how certain that is, or what a run or a sweep shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report.html.folders import cell_result, fields, search_result
from transfer_exp.report.html.answer import cell_answer, search_answer, sweep_answer
from transfer_exp.report.html.page import page_data
from transfer_exp.report.html.run_details import RunDetails, write_run_details
from transfer_exp.report.record import write_record
from transfer_exp.report.sweep_cells import collect


def with_ranks(search, tied, worst):
    """Return the search with so many models that may be the best, down to a worst rank."""
    models = [
        replace(m, best_rank_95=1 if i < tied else tied + 1, worst_rank_95=worst) if m.status == "finalist" else m
        for i, m in enumerate(search.models)
    ]
    return replace(search, models=tuple(models))


@pytest.mark.parametrize(
    ("tied", "worst", "headline"),
    [
        (1, 1, "Fine-tune model_000: significantly better than every other finalist (95 %)"),
        (1, 2, "Fine-tune model_000: no other finalist may be the best (95 %)"),
        (2, 3, "Fine-tune model_000 and model_001: either may be the best (95 %)"),
        (3, 3, "Fine-tune model_000, model_001 and model_002: each of them may be the best (95 %)"),
        (5, 5, "Fine-tune model_000, model_001 and model_002, the first of 5 models that may be the best (95 %)"),
    ],
)
def test_the_headline_of_a_ranking_names_the_models_and_the_certainty(tied, worst, headline):
    answer = search_answer(with_ranks(search_result(8), tied, worst))
    assert answer.headline == headline
    assert answer.command == "transfer-exp run fine-tune"
    assert len(answer.best) == tied
    assert [row.name for row in answer.chart.rows if row.is_best] == list(answer.best)


def test_the_chart_of_a_ranking_has_expected_accuracies_with_intervals_of_the_finalists():
    answer = search_answer(search_result(8))
    assert answer.detail == "Expected accuracy of model_000: 0.90 (80 %: 0.85 to 0.94)"
    assert (answer.chart.axis, answer.chart.key) == ("expected accuracy (80 % intervals)", "may be the best")
    first = answer.chart.rows[0]
    assert (first.value, first.low, first.high, first.measured_accuracy) == (0.9, 0.85, 0.94, None)
    assert (len(answer.chart.rows), answer.chart.left_out) == (7, 0), "the failed model has no row"


def test_without_expected_accuracies_the_chart_has_scores_and_without_intervals_nothing_is_certain():
    search = search_result(4)
    unknown = dict.fromkeys(
        ("expected_accuracy", "expected_accuracy_low_80", "expected_accuracy_high_80", "best_rank_95", "worst_rank_95")
    )
    answer = search_answer(replace(search, models=tuple(replace(m, **unknown) for m in search.models)))
    assert "highest scores, without a level of certainty" in answer.headline
    assert (answer.detail, answer.chart.axis) == ("", "score (95 % intervals)")


def test_doubts_come_first_and_measured_accuracies_replace_the_recommendation():
    search = search_result(4, seconds_missing=250.0, stop_reason="budget")
    unseen = replace(search.models[-1], status="not looked at", reason="no time")
    answer = search_answer(replace(search, models=(*search.models[:-1], unseen)))
    assert answer.warnings == ("Looked at 3 of 4 models; the best may be the other one (about 4 more minutes)",)
    measured = (replace(search.models[0], accuracy=0.87), *search.models[1:])
    answer = search_answer(replace(search, models=measured, command=""))
    assert (answer.headline, answer.detail) == ("Accuracy after fine-tuning model_000: 0.870", "")
    assert answer.chart.rows[0].measured_accuracy == 0.87


@pytest.mark.parametrize(
    ("tau", "phrase"),
    [
        (0.6, "logme ranks 3 models better than chance: tau_w 0.60"),
        (-0.6, "logme ranks 3 models worse than chance: tau_w -0.60"),
        (0.1, "The ranking of 3 models by logme may be due to chance: tau_w 0.10"),
        (None, "clear has the highest score of 3 models"),
    ],
)
def test_the_headline_of_a_run_compares_its_ranking_with_chance(tau, phrase):
    answer = cell_answer(cell_result(tau=tau))
    assert answer.headline == phrase
    assert (answer.chart is None) == (tau is not None), "the scatter chart takes its place"


def write_taus(folder, taus):
    """Write a cell for each dataset, perturbation, metric and tau."""
    for i, (dataset, perturbation, metric, tau) in enumerate(taus):
        cell = fields(dataset=dataset, perturbation=perturbation, metric=metric)
        write_record(cell_result(tau=tau, **cell), {}, folder / str(i))
    return folder


def test_the_conclusion_of_a_sweep_is_the_change_by_perturbation_with_its_error(tmp_path):
    changes = {"a": 0.30, "b": 0.32, "c": 0.34}
    taus = [(d, p, "logme", c * (p == "pca")) for d, c in changes.items() for p in ("none", "pca")]
    answer = sweep_answer(collect(write_taus(tmp_path, taus)))
    assert answer.headline == "pca raises tau_w by +0.32 ± 0.01, the mean of 3 datasets"
    (row,) = answer.chart.rows
    assert (row.name, row.low, row.high) == ("pca", pytest.approx(0.3085, abs=1e-3), pytest.approx(0.3315, abs=1e-3))
    assert answer.lines == ("0 of 6 cells outside the range for random scores",)


def test_a_change_smaller_than_its_interval_is_not_claimed(tmp_path):
    taus = [("a", "none", "m", 0.0), ("a", "pca", "m", 0.3), ("b", "none", "m", 0.0), ("b", "pca", "m", 0.1)]
    answer = sweep_answer(collect(write_taus(tmp_path, taus)))
    assert answer.headline == "pca does not change tau_w significantly: +0.20 ± 0.10, the mean of 2 datasets"


def test_without_a_perturbation_the_best_metric_is_the_conclusion(tmp_path):
    taus = [("a", "none", "sfda", 0.6), ("b", "none", "sfda", 0.4), ("a", "none", "logme", 0.2)]
    answer = sweep_answer(collect(write_taus(tmp_path, taus)))
    assert answer.headline == "sfda has the highest tau_w of 2 metrics: 0.50, the mean of 2 cells"
    assert [row.name for row in answer.chart.rows] == ["sfda", "logme"]


@pytest.mark.parametrize(
    ("folder", "command", "title"),
    [
        ("mine", "", "Sweep mine"),
        ("mine", "transfer-exp run +sweep=demo", "Sweep demo"),
        ("2026-01-02_03-04-05", "", "Sweep over dataset, metric"),
    ],
)
def test_a_sweep_is_titled_by_its_name_or_by_what_it_varies(tmp_path, folder, command, title):
    sweep = write_taus(tmp_path / folder, [("a", "none", "sfda", 0.6), ("b", "none", "logme", 0.4)])
    write_run_details(RunDetails(command), sweep)
    assert page_data(sweep)["title"] == title
