"""Folders of runs and sweeps for page tests, written without a network."""

from __future__ import annotations

import json

import numpy as np

from transfer_exp.report.html.run_details import RunDetails, collect_run_details, write_run_details
from transfer_exp.report.record import last_round_as_cell, write_record, write_search_record
from transfer_exp.report.write_run import RunContext
from transfer_exp.results.cell import CellResult, ModelResult
from transfer_exp.results.search import SearchedModel, SearchResult
from transfer_exp.statistics.feature_set import FeatureSet

NAMES = ("clear", "dim", "dark")
LABELS = np.repeat([0, 1, 2], 12)
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'`${1}\u2028"


def scoring_set(model):
    """Return features with more noise the later the model is in `NAMES`."""
    rng = np.random.default_rng(len(model))
    noise = 0.3 * 4 ** NAMES.index(model) if model in NAMES else 1.0
    return FeatureSet(np.eye(3)[LABELS] @ rng.normal(size=(3, 6)) + noise * rng.normal(size=(36, 6)), LABELS)


def halved(scoring_set):
    return scoring_set.features / 2


def unperturbed(scoring_set):
    return None


def fields(**changed):
    cell = {"model_pool": "builtin", "dataset": "digits", "perturbation": "none", "metric": "logme"}
    return {**cell, "ground_truth": "full", "seed": "0", **changed}


def cell_result(names=NAMES, accuracies=(0.9, 0.7, 0.8), tau=0.6, **changed):
    """Return a cell whose models are sorted by score, plus one skipped model."""
    scored = [
        ModelResult(name, 1.0 - i, accuracy) for i, (name, accuracy) in enumerate(zip(names, accuracies, strict=True))
    ]
    models = (*scored, ModelResult("odd", None, None, "no head"))
    if tau is None:
        return CellResult(fields(**changed), models)
    return CellResult(fields(**changed), models, {"weighted_tau": tau, "regret": 0.0}, (-0.5, 0.5))


def run_context(sweep="sweep", **changed):
    """Return a context in which every model has features; that of a cell in a sweep, so three models are drawn."""
    readers = {name: (lambda largest, name=name: scoring_set(name)) for name in NAMES}
    facts = {"config": {}, "command": "", "seconds": {}, "class_names": ("red", "green", "blue")}
    return RunContext(**{**facts, "sweep": sweep, "scoring_sets": readers, "perturb": unperturbed, **changed})


def write_run(folder, result, class_names=("red", "green", "blue"), perturb=unperturbed, command="python -m it"):
    seconds = {model.model: {"features": 1.25, "scoring": 0.5} for model in result.models}
    scoring_sets = {m.model: (lambda largest, name=m.model: scoring_set(name)) for m in result.models}
    write_record(result, {}, folder)
    facts = {"command": command, "seconds": seconds, "class_names": class_names}
    context = run_context(scoring_sets=scoring_sets, perturb=perturb, **facts)
    write_run_details(collect_run_details(result, context), folder)
    return folder


def search_result(models=3, **changed):
    """Return a search whose first two models may be the best; all after the tenth were dropped, and the last failed."""
    finalists = [
        SearchedModel(
            f"model_{i:03}",
            rank=i + 1,
            best_rank_95=1 if i < 2 else 3,
            worst_rank_95=2 if i < 2 else models,
            expected_accuracy=0.9 - 0.02 * i,
            expected_accuracy_low_80=0.85 - 0.02 * i,
            expected_accuracy_high_80=0.94 - 0.02 * i,
            score=0.8 - 0.02 * i,
            score_low_95=0.78 - 0.02 * i,
            score_high_95=0.82 - 0.02 * i,
            images=600,
            parameters=25_600_000,
            seconds=2.5,
        )
        for i in range(min(10, models - 1))
    ]
    common = {"score": 0.1, "images": 60, "parameters": 5_300_000, "status": "dropped"}
    dropped = [
        SearchedModel(f"model_{i:03}", i + 1, **common, reason="dropped after 60 images") for i in range(10, models - 1)
    ]
    failed = SearchedModel(f"model_{models - 1:03}", status="failed", reason="no weights")
    cell = {name: value for name, value in fields(metric="linear_classifier").items() if name != "ground_truth"}
    facts = {"stop_reason": "all images", "images": 600, "classes": 5, "forward_passes": 6000, "seconds": 30.0}
    facts |= {"ordered_by": "expected accuracy", "expected_regret": 0.01, "command": "transfer-exp run fine-tune"}
    return SearchResult(cell, (*finalists, *dropped, failed), **{**facts, **changed})


def write_ranking(folder, models, classes):
    """Write the folder of a `search_result` with features of so many classes."""
    search, labels = search_result(models, classes=classes), np.arange(6 * classes) % classes
    write_search_record(search, {}, folder)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(classes, 8))[labels] + 0.5 * rng.normal(size=(len(labels), 8))
    readers = dict.fromkeys((m.model for m in search.models), lambda largest: FeatureSet(features, labels))
    context = run_context(None, scoring_sets=readers, class_names=tuple(f"class {c}" for c in range(classes)))
    write_run_details(collect_run_details(last_round_as_cell(search), context), folder)
    return folder


def write_sweep_folder(folder):
    """Write a sweep of four cells, two of them perturbed, and a failed one."""
    for metric, shift in (("logme", 0.0), ("sfda", 0.1)):
        write_run(folder / f"{metric}-none", cell_result(metric=metric, tau=0.3 + shift))
        moved = cell_result(metric=metric, tau=0.7 + shift, perturbation="halved", accuracies=(0.8, 0.9, 0.7))
        write_run(folder / f"{metric}-halved", moved, perturb=halved)
    (folder / "lost").mkdir(parents=True)
    failed = {"state": "failed", "reason": "no <b>head</b>", "cell": fields(dataset="glyphs")}
    (folder / "lost" / "status.json").write_text(json.dumps(failed))
    write_run_details(RunDetails("python -m transfer_exp --multirun", {"numpy": "2.0"}), folder)
    return folder
