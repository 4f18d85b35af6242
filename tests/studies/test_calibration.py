"""The calibrations: what is predicted was not seen, numbers follow from the rows, and so does the file that ships."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from studies.calibration.__main__ import filled, main
from studies.calibration.candidates import outcomes
from studies.calibration.error_tables import BEST, judged, sizes
from studies.calibration.held_out import LEVEL, Judged, calibrated, held_out, mean, transferred
from studies.calibration.regret_tables import both
from studies.calibration.rows import BLIND, Source, read_rows, sources
from studies.calibration.shipped import shipped
from studies.real_pool.data import Cell
from transfer_exp.errors import InputError
from transfer_exp.evaluation.expectations import SHIPPED, as_row, read_calibrations
from transfer_exp.evaluation.expected_accuracy import accuracy_at, angle
from transfer_exp.evaluation.score_files import update_scores
from transfer_exp.evaluation.selection import regret
from transfer_exp.io.text import read_json

RESULTS = Path(__file__).parents[2] / "docs" / "results"
PAGE = RESULTS / "calibration.md"
MODELS, TARGETS = [f"net{i}" for i in range(8)], ["a", "b", "c", "control"]


@pytest.fixture
def source(tmp_path):
    """Write a pool whose accuracies are those of its linear classifier, a little better."""
    rng = np.random.default_rng(0)
    measured, scored = [], []
    for place, target in enumerate(TARGETS):
        anchors = accuracy_at(0.5 + 0.15 * place + rng.normal(0, 0.15, len(MODELS)), 10)
        truth = accuracy_at(angle(anchors, 10) + 0.05 + rng.normal(0, 0.02, len(MODELS)), 10)
        for regime in ("full/short", "linear_probe"):
            for model, accuracy in zip(MODELS, truth, strict=True):
                for seed, off in ((0, -0.001), (1, 0.001)):
                    row = {"pool": "p", "model": model, "dataset": target, "regime": regime, "seed": seed}
                    measured.append({**row, "accuracy": accuracy + off})
        for images in ("20", "50", "all"):
            values = {"linear_classifier": anchors, "knn": anchors - 0.1, "ncm": anchors / 2, "leep": -rng.random(8)}
            for metric, perturbation in [*((m, "none") for m in values), ("logme", "none"), ("logme", "pca")]:
                scores = values.get(metric, anchors + rng.normal(0, 0.05, len(MODELS)))
                by_model = dict(zip(MODELS, (f"{v:.9g}" for v in scores), strict=True))
                if metric == "leep":
                    by_model["net7"] = ""
                cell = {
                    "model_pool": "p",
                    "dataset": target,
                    "splits": "train",
                    "images_per_class": images,
                    "seed": "0",
                }
                scored.append({**cell, "perturbation": perturbation, "metric": metric, **by_model})
    pd.DataFrame(measured).to_csv(tmp_path / "accuracies.csv", index=False)
    pd.DataFrame({"dataset": TARGETS, "classes": 10}).to_csv(tmp_path / "classes.csv", index=False)
    update_scores(tmp_path / "scores.csv", scored)
    files = (tmp_path / name for name in ("scores.csv", "accuracies.csv", "classes.csv"))
    return Source(*files, control="control")


@pytest.fixture
def rows(source):
    return read_rows(source)


def with_accuracies(rows, accuracies):
    """Return the rows with other accuracies by regime, arrays (T, M)."""
    table = next(iter(rows.tables.values()))
    frames = {name: pd.DataFrame(a, index=rows.targets, columns=rows.models) for name, a in accuracies.items()}
    return replace(rows, tables={name: replace(table, regime=name, accuracies=f) for name, f in frames.items()})


def with_truth(rows, target, accuracies):
    """Return the rows with other accuracies of one target."""
    truth = {regime: values.copy() for regime, values in rows.accuracies.items()}
    for values in truth.values():
        values[rows.targets.index(target)] = accuracies
    return with_accuracies(rows, truth)


def test_rows_become_arrays_by_name(rows):
    assert rows.models == tuple(MODELS)
    assert rows.averaged == ("a", "b", "c")
    assert {name: values.shape for name, values in rows.accuracies.items()} == dict.fromkeys(
        ("full", "linear_probe"), (4, 8)
    )
    assert {(c.metric, c.perturbation) for c in rows.cells()} == {
        *((m, "none") for m in ("linear_classifier", "knn", "ncm", "leep", "logme")),
        ("logme", "pca"),
    }
    assert rows.applies(Cell("leep")).tolist() == list(range(7))
    pool = rows.scored(Cell("leep"), "knn", "b")
    assert (pool.scores == rows.scores[Cell("leep")][1, :7]).all()
    assert (pool.anchors == rows.scores[Cell("knn")][1, :7]).all()


@pytest.mark.parametrize("anchor", [None, BEST])
def test_a_target_is_predicted_without_its_accuracies_or_those_of_the_control(rows, anchor):
    for hidden in ("b", "control"):
        other = with_truth(rows, hidden, np.linspace(0.1, 1, 8))
        seen = held_out(rows, "full", Cell("logme"), anchor, (hidden,))[0]
        assert held_out(other, "full", Cell("logme"), anchor, (hidden,))[0].calibration == seen.calibration
    of_a = held_out(rows, "full", Cell("logme"), anchor, ("a",))[0].calibration
    assert held_out(other, "full", Cell("logme"), anchor, ("a",))[0].calibration == of_a
    moved = with_truth(rows, "b", np.linspace(0.1, 1, 8))
    assert held_out(moved, "full", Cell("logme"), anchor, ("a",))[0].calibration != of_a


def test_what_is_judged_is_the_difference_to_the_accuracies(rows):
    found = held_out(rows, "full", Cell("logme"), BEST)
    assert [one.target for one in found] == ["a", "b", "c"]
    one = found[1]
    truth = rows.accuracies["full"][1]
    assert one.error == pytest.approx(np.abs(one.expected.accuracies - truth).mean())
    assert one.bias == pytest.approx((one.expected.accuracies - truth).mean())
    inside = [low <= t <= high for low, t, high in zip(one.expected.low, truth, one.expected.high, strict=True)]
    assert one.coverage == np.mean(inside)
    assert one.regret(1) == pytest.approx(regret(rows.scores[Cell("logme")][1], truth))
    assert both([one], 1)[1] == pytest.approx([one.regret(1)])
    assert one.regret(8) == 0
    assert mean(found, "error") == pytest.approx(np.mean([f.error for f in found]))
    assert float(judged(found)[1]) == pytest.approx(mean(found, "error"), abs=5e-4)
    wrong = Judged("b", one.calibration, one.pool, np.zeros(8))
    assert wrong.coverage == 0


def test_a_family_can_be_left_out_of_a_calibration(rows):
    apart = calibrated(rows, "full", Cell("logme"), BEST, models=np.arange(5))
    assert apart.within_df < calibrated(rows, "full", Cell("logme"), BEST).within_df
    moved = with_accuracies(rows, {r: np.where(np.arange(8) < 5, v, 0.3) for r, v in rows.accuracies.items()})
    assert calibrated(moved, "full", Cell("logme"), BEST, models=np.arange(5)) == apart


def test_a_calibration_can_be_carried_to_another_pool(rows):
    worse = with_accuracies(rows, {"other": rows.accuracies["full"] - 0.1})
    own, carried = (
        held_out(rows, "full", Cell(BLIND), BEST),
        transferred(rows, worse, ("full", "other"), Cell(BLIND), BEST),
    )
    assert mean(carried, "bias") == pytest.approx(0.1, abs=0.03)
    assert mean(carried, "error") > mean(own, "error")


def test_candidates_are_ordered_as_the_accuracies_were_made(rows):
    found = outcomes(rows, "full")
    error = {name: outcome.error for name, outcome in found.items()}
    truth, anchors = rows.accuracies["full"][:3], rows.scores[Cell(BEST)][:3]
    assert error["linear_classifier as it is"] == pytest.approx(np.abs(truth - anchors).mean())
    others = [np.delete(truth, place, axis=0) for place in range(3)]
    same = [np.abs(own.mean(axis=0) - truth[place]).mean() for place, own in enumerate(others)]
    assert error["mean accuracy of the same model on the other targets"] == pytest.approx(np.mean(same))
    constant = [np.abs(own.mean() - truth[place]).mean() for place, own in enumerate(others)]
    assert error["mean accuracy of all models on the other targets"] == pytest.approx(np.mean(constant))
    assert error["calibrated, linear_classifier"] < error["linear_classifier as it is"] < error["knn as it is"]
    assert error["calibrated, linear_classifier"] < error["calibrated, number of classes"]
    assert error["linear_classifier, a line through logits"] < error["linear_classifier as it is"]
    assert error["linear_classifier, isotonic"] < error["ncm as it is"]
    assert found["ncm as it is"].coverage is None
    assert all(outcome.width for name, outcome in found.items() if name.startswith("calibrated"))


def test_the_file_has_every_calibration_and_reads_back(rows, source, tmp_path):
    path = tmp_path / "own.json"
    path.write_text(shipped(rows, source.digest))
    found = read_calibrations(path)
    assert len(found) == 2 * 3 * len(rows.cells())
    for anchor, name in ((None, "none"), ("knn", "knn")):
        key = ("linear_probe", name, "pca", "logme")
        assert as_row(key, found[key]) == as_row(key, calibrated(rows, "linear_probe", Cell("logme", "pca"), anchor))
    assert read_json(path)["targets"] == ["a", "b", "c"]


def test_the_digest_is_of_the_rows(source):
    for name in ("scores", "accuracies", "classes"):
        path = getattr(source, name)
        other = path.with_name("other.csv")
        other.write_text(path.read_text().replace("net3", "net4").replace("control,10", "control,9"))
        assert replace(source, **{name: other}).digest != source.digest
    assert replace(source, control="a").digest != source.digest


def test_rows_that_do_not_fit_are_refused(source):
    truth = pd.read_csv(source.accuracies)
    truth[(truth["model"] != "net3") | (truth["dataset"] != "b")].to_csv(source.accuracies, index=False)
    with pytest.raises(InputError, match="no accuracy of net3 on b"):
        read_rows(source)
    source.classes.write_text("dataset,classes\na,10\nb,10\n")
    truth.to_csv(source.accuracies, index=False)
    with pytest.raises(InputError, match="does not say how many classes c has"):
        read_rows(source)


def test_a_page_asks_for_tables_that_there_are(rows, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- table: sizes -->\n<!-- end -->\n")
    pools = {"real_pool": rows}
    assert sizes(pools) in filled(page, pools)
    page.write_text("<!-- table: size -->\n<!-- end -->\n")
    with pytest.raises(InputError, match="asks for a table 'size'"):
        filled(page, pools)


def test_a_page_without_rows_beside_it_is_refused_in_a_line(tmp_path, capsys):
    assert main([str(tmp_path / "page.md"), "--out", str(tmp_path / "own.json")]) == 1
    assert "no scores" in capsys.readouterr().err


def test_what_ships_is_of_the_rows_that_ship():
    digest = sources(RESULTS)["real_pool"].digest
    assert read_json(SHIPPED)["digest"] == digest, f"run python -m studies.calibration {PAGE}"
    with Image.open(PAGE.with_suffix(".png")) as image:
        assert image.text["Source"] == digest, "drawn from other rows: rebuild the page"


@pytest.mark.slow
def test_what_ships_is_what_the_command_makes(tmp_path):
    pools = {name: read_rows(source) for name, source in sources(RESULTS).items()}
    again = tmp_path / "again.json"
    again.write_text(shipped(pools["real_pool"], sources(RESULTS)["real_pool"].digest))
    made, ships = read_calibrations(again), read_calibrations(SHIPPED)
    assert list(made) == list(ships)
    for key, calibration in made.items():
        # Other machines round otherwise, in the last of five digits.
        numbers, shipped_numbers = ([v or 0 for v in as_row(key, found)[4:]] for found in (calibration, ships[key]))
        assert shipped_numbers == pytest.approx(numbers, rel=1e-3, abs=1e-4), key
    assert filled(PAGE, pools) == PAGE.read_text()


def test_the_page_names_its_level_and_its_figure():
    text = PAGE.read_text()
    assert f"{LEVEL:.0%} interval" in text
    assert re.findall(r"\]\((\w+\.png)\)", text) == [PAGE.with_suffix(".png").name]
