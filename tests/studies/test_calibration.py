"""Study of expected accuracies: predictions for held-out targets, the calibrations that ship, and their page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from studies.calibration.__main__ import calibrations_json, fill_page, main
from studies.calibration.data import CONSTANT, PoolFiles, pool_files, read_pool
from studies.calibration.fit import as_row
from studies.calibration.predictions import (
    LEVEL,
    TargetPrediction,
    compare_estimators,
    fit_on_pool,
    mean_over_targets,
    predict_held_out,
    predict_other_pool,
)
from studies.calibration.tables import ANCHORS, BEST_ANCHOR, HEADLINE, TABLES, regret_pairs, sizes, summarize
from studies.real_pool.data import Cell
from transfer_exp.errors import InputError
from transfer_exp.evaluation.expected_accuracy import SHIPPED_CALIBRATIONS, accuracy_at, angle, read_calibrations
from transfer_exp.evaluation.ranking import regret
from transfer_exp.evaluation.score_files import update_scores
from transfer_exp.io.text import read_json

pytestmark = pytest.mark.slow

RESULTS = Path(__file__).parents[2] / "docs" / "results"
PAGE = RESULTS / "calibration.md"
MODELS, TARGETS = [f"net{i}" for i in range(8)], ["a", "b", "c", "control"]


@pytest.fixture
def files(tmp_path):
    """Write a pool with accuracies a little above those of its linear classifier."""
    rng = np.random.default_rng(0)
    accuracies, scored = [], []
    for i, target in enumerate(TARGETS):
        anchors = accuracy_at(0.5 + 0.15 * i + rng.normal(0, 0.15, len(MODELS)), 10)
        truth = accuracy_at(angle(anchors, 10) + 0.05 + rng.normal(0, 0.02, len(MODELS)), 10)
        for regime in ("full/short", "linear_probe"):
            for model, accuracy in zip(MODELS, truth, strict=True):
                for seed, offset in ((0, -0.001), (1, 0.001)):
                    row = {"pool": "p", "model": model, "dataset": target, "regime": regime, "seed": seed}
                    accuracies.append({**row, "accuracy": accuracy + offset})
        for images in ("20", "50", "all"):
            values = {"linear_classifier": anchors, "knn": anchors - 0.1, "ncm": anchors / 2, "leep": -rng.random(8)}
            for metric, perturbation in [*((m, "none") for m in values), ("logme", "none"), ("logme", "pca")]:
                scores = values.get(metric, anchors + rng.normal(0, 0.05, len(MODELS)))
                by_model = dict(zip(MODELS, (f"{v:.9g}" for v in scores), strict=True))
                if metric == "leep":
                    by_model["net7"] = ""
                cell = {"model_pool": "p", "dataset": target, "splits": "train", "images_per_class": images}
                cell |= {"seed": "0", "perturbation": perturbation, "metric": metric}
                scored.append({**cell, **by_model})
    pd.DataFrame(accuracies).to_csv(tmp_path / "accuracies.csv", index=False)
    pd.DataFrame({"dataset": TARGETS, "classes": 10}).to_csv(tmp_path / "classes.csv", index=False)
    update_scores(tmp_path / "scores.csv", scored)
    paths = (tmp_path / name for name in ("scores.csv", "accuracies.csv", "classes.csv"))
    return PoolFiles(*paths, excluded="control")


@pytest.fixture
def data(files):
    return read_pool(files)


def with_accuracies(data, accuracies):
    """Return the pool with new accuracies by regime, arrays (T, M)."""
    table = next(iter(data.tables.values()))
    frames = {name: pd.DataFrame(a, index=data.targets, columns=data.models) for name, a in accuracies.items()}
    return replace(data, tables={name: replace(table, regime=name, accuracies=f) for name, f in frames.items()})


def with_target_accuracies(data, target, accuracies):
    """Return the pool with new accuracies on one target."""
    truth = {regime: values.copy() for regime, values in data.accuracies.items()}
    for values in truth.values():
        values[data.targets.index(target)] = accuracies
    return with_accuracies(data, truth)


def test_a_pool_is_read_as_arrays_by_regime_and_cell(data):
    assert data.models == tuple(MODELS)
    assert data.averaged == ("a", "b", "c")
    shapes = {name: values.shape for name, values in data.accuracies.items()}
    assert shapes == dict.fromkeys(("full", "linear_probe"), (4, 8))
    assert {(c.metric, c.perturbation) for c in data.cells()} == {
        *((m, "none") for m in ("linear_classifier", "knn", "ncm", "leep", "logme")),
        ("logme", "pca"),
    }
    assert data.applicable_models(Cell("leep")).tolist() == list(range(7))
    pool = data.scored_pool(Cell("leep"), "knn", "b")
    assert (pool.scores == data.scores[Cell("leep")][1, :7]).all()
    assert (pool.anchors == data.scores[Cell("knn")][1, :7]).all()


@pytest.mark.parametrize("anchor", [None, BEST_ANCHOR])
def test_a_calibration_uses_neither_the_held_out_target_nor_the_control(data, anchor):
    def calibration(pool, target):
        return predict_held_out(pool, "full", Cell("logme"), anchor, (target,))[0].calibration

    for target in ("b", "control"):
        changed = with_target_accuracies(data, target, np.linspace(0.1, 1, 8))
        assert calibration(changed, target) == calibration(data, target)
    assert calibration(changed, "a") == calibration(data, "a"), "the control changed"
    assert calibration(with_target_accuracies(data, "b", np.linspace(0.1, 1, 8)), "a") != calibration(data, "a")


def test_errors_are_differences_of_expected_and_reached_accuracies(data):
    predictions = predict_held_out(data, "full", Cell("logme"), BEST_ANCHOR)
    assert [prediction.target for prediction in predictions] == ["a", "b", "c"]
    prediction, truth = predictions[1], data.accuracies["full"][1]
    expected = prediction.expected
    assert prediction.error == pytest.approx(np.abs(expected.accuracies - truth).mean())
    assert prediction.bias == pytest.approx((expected.accuracies - truth).mean())
    assert prediction.coverage == np.mean((expected.low <= truth) & (truth <= expected.high))
    assert prediction.realised_regret(1) == pytest.approx(regret(data.scores[Cell("logme")][1], truth))
    assert regret_pairs([prediction], 1)[1] == pytest.approx([prediction.realised_regret(1)])
    assert prediction.realised_regret(8) == 0
    assert mean_over_targets(predictions, "error") == pytest.approx(np.mean([p.error for p in predictions]))
    assert float(summarize(predictions)[1]) == pytest.approx(mean_over_targets(predictions, "error"), abs=5e-4)
    assert TargetPrediction("b", prediction.calibration, prediction.pool, np.zeros(8)).coverage == 0


def test_a_family_of_models_can_be_left_out_of_a_calibration(data):
    without_family = fit_on_pool(data, "full", Cell("logme"), BEST_ANCHOR, models=np.arange(5))
    assert without_family.model_df < fit_on_pool(data, "full", Cell("logme"), BEST_ANCHOR).model_df
    changed = with_accuracies(data, {r: np.where(np.arange(8) < 5, v, 0.3) for r, v in data.accuracies.items()})
    assert fit_on_pool(changed, "full", Cell("logme"), BEST_ANCHOR, models=np.arange(5)) == without_family


def test_a_calibration_can_be_applied_to_a_different_pool(data):
    worse = with_accuracies(data, {"worse": data.accuracies["full"] - 0.1})
    same_pool = predict_held_out(data, "full", Cell(CONSTANT), BEST_ANCHOR)
    transferred = predict_other_pool(data, worse, ("full", "worse"), Cell(CONSTANT), BEST_ANCHOR)
    assert mean_over_targets(transferred, "bias") == pytest.approx(0.1, abs=0.03)
    assert mean_over_targets(transferred, "error") > mean_over_targets(same_pool, "error")


def test_estimators_with_more_information_have_smaller_errors(data):
    estimators = compare_estimators(data, "full")
    error = {name: errors.error for name, errors in estimators.items()}
    truth, anchors = data.accuracies["full"][:3], data.scores[Cell(BEST_ANCHOR)][:3]
    unchanged = error["linear_classifier, unchanged"]
    assert unchanged == pytest.approx(np.abs(truth - anchors).mean())
    rest = [np.delete(truth, i, axis=0) for i in range(3)]
    by_model = [np.abs(accuracies.mean(axis=0) - truth[i]).mean() for i, accuracies in enumerate(rest)]
    assert error["mean accuracy of the same model on the other targets"] == pytest.approx(np.mean(by_model))
    constant = [np.abs(accuracies.mean() - truth[i]).mean() for i, accuracies in enumerate(rest)]
    assert error["mean accuracy of all models on the other targets"] == pytest.approx(np.mean(constant))
    assert error["calibrated, linear_classifier"] < unchanged < error["knn, unchanged"]
    assert error["calibrated, linear_classifier"] < error["calibrated, number of classes"]
    assert error["linear_classifier, linear in logits"] < unchanged
    assert error["linear_classifier, isotonic regression"] < error["ncm, unchanged"]
    assert estimators["ncm, unchanged"].coverage is None
    assert all(errors.width for name, errors in estimators.items() if name.startswith("calibrated"))


def test_the_file_of_calibrations_can_be_read_back(data, files, tmp_path):
    path = tmp_path / "calibrations.json"
    path.write_text(calibrations_json(data, files.digest))
    calibrations = read_calibrations(path)
    assert len(calibrations) == 2 * 3 * len(data.cells())
    for anchor, name in ((None, "none"), ("knn", "knn")):
        key = ("linear_probe", name, "pca", "logme")
        fitted = fit_on_pool(data, "linear_probe", Cell("logme", "pca"), anchor)
        assert as_row(key, calibrations[key]) == as_row(key, fitted)
    assert read_json(path)["targets"] == ["a", "b", "c"]


def test_the_digest_depends_on_all_rows_and_on_the_control(files):
    for name in ("scores", "accuracies", "classes"):
        path = getattr(files, name)
        changed = path.with_name("changed.csv")
        changed.write_text(path.read_text().replace("net3", "net4").replace("control,10", "control,9"))
        assert replace(files, **{name: changed}).digest != files.digest
    assert replace(files, excluded="a").digest != files.digest


def test_missing_accuracies_and_numbers_of_classes_are_reported(files):
    truth = pd.read_csv(files.accuracies)
    truth[(truth["model"] != "net3") | (truth["dataset"] != "b")].to_csv(files.accuracies, index=False)
    with pytest.raises(InputError, match="no accuracy of net3 on b"):
        read_pool(files)
    files.classes.write_text("dataset,classes\na,10\nb,10\n")
    truth.to_csv(files.accuracies, index=False)
    with pytest.raises(InputError, match="does not say how many classes c has"):
        read_pool(files)


def test_a_page_is_filled_with_tables_and_unknown_tables_are_rejected(data, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- table: sizes -->\n<!-- end -->\n")
    pools = {"real_pool": data}
    assert sizes(pools) in fill_page(page, pools)
    page.write_text("<!-- table: size -->\n<!-- end -->\n")
    with pytest.raises(InputError, match="asks for a table 'size'"):
        fill_page(page, pools)


def test_a_page_without_rows_is_reported_in_one_line(tmp_path, capsys):
    assert main([str(tmp_path / "page.md"), "--out", str(tmp_path / "calibrations.json")]) == 1
    assert "no scores" in capsys.readouterr().err


def test_calibrations_and_figure_have_the_digest_of_the_stored_rows():
    digest = pool_files(RESULTS)["real_pool"].digest
    assert read_json(SHIPPED_CALIBRATIONS)["digest"] == digest, f"run python -m studies.calibration {PAGE}"
    with Image.open(PAGE.with_suffix(".png")) as image:
        assert image.text["Source"] == digest, f"run python -m studies.calibration {PAGE}"


@pytest.fixture(scope="module")
def real_pool():
    return read_pool(pool_files(RESULTS)["real_pool"])


def assert_close(key, shipped, fitted):
    """Compare two calibrations; the last of five digits may depend on the machine."""
    shipped_numbers, numbers = ([v or 0 for v in as_row(key, c)[4:]] for c in (shipped, fitted))
    assert shipped_numbers == pytest.approx(numbers, rel=1e-3, abs=1e-4), key


@pytest.mark.parametrize("anchor", ANCHORS)
def test_shipped_calibrations_of_logme_agree_with_the_stored_rows(anchor, real_pool):
    calibrations = read_calibrations(SHIPPED_CALIBRATIONS)
    for regime in real_pool.accuracies:
        key = (regime, anchor or "none", HEADLINE.perturbation, HEADLINE.metric)
        assert_close(key, calibrations[key], fit_on_pool(real_pool, regime, HEADLINE, anchor))


def test_a_small_table_of_the_page_agrees_with_the_stored_rows(real_pool):
    assert TABLES["sizes"]({"real_pool": real_pool}) in PAGE.read_text(), f"run python -m studies.calibration {PAGE}"


@pytest.mark.study
def test_all_calibrations_and_the_page_agree_with_the_stored_rows(tmp_path):
    files = pool_files(RESULTS)
    pools = {name: read_pool(pool) for name, pool in files.items()}
    path = tmp_path / "calibrations.json"
    path.write_text(calibrations_json(pools["real_pool"], files["real_pool"].digest))
    fitted, shipped = read_calibrations(path), read_calibrations(SHIPPED_CALIBRATIONS)
    assert list(fitted) == list(shipped)
    for key, calibration in fitted.items():
        assert_close(key, shipped[key], calibration)
    assert fill_page(PAGE, pools) == PAGE.read_text(), f"run python -m studies.calibration {PAGE}"


def test_the_page_states_the_level_of_its_intervals_and_links_its_figure():
    text = PAGE.read_text()
    assert f"{LEVEL:.0%} interval" in text
    assert re.findall(r"\]\((\w+\.png)\)", text) == [PAGE.with_suffix(".png").name]
