"""The result of a search as a terminal table, a verdict, files, a record, and a cell of a page."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from transfer_exp.errors import InputError
from transfer_exp.report.html.answer import search_answer
from transfer_exp.report.html.page import page_data
from transfer_exp.report.record import (
    last_round_as_cell,
    read_record,
    read_search,
    search_frame,
    write_search_record,
)
from transfer_exp.report.search_table import next_step, search_table, verdict, warnings
from transfer_exp.results.search import AdaptedModel, SearchedModel, SearchResult

pytestmark = pytest.mark.slow

CELL = {"model_pool": "p", "dataset": "d", "perturbation": "pca", "metric": "logme", "seed": "0"}


def finalist(name, rank, score, expected=None, possible=None, **fields):
    """Return a finalist on 200 images, with intervals around its score and expected accuracy."""
    if expected is not None:
        fields |= {"expected_accuracy": expected, "expected_accuracy_low_80": expected - 0.1}
        fields |= {"expected_accuracy_high_80": expected + 0.1}
    if possible is not None:
        fields |= {"best_rank_95": possible[0], "worst_rank_95": possible[1]}
        fields |= {"score_low_95": score - 0.022, "score_high_95": score + 0.022}
    return SearchedModel(name, rank, score=score, **{"images": 200, **fields})


FIRST, SECOND = finalist("first", 1, 0.512, 0.8, (1, 2)), finalist("second", 2, 0.5, 0.75, (1, 2))
DROPPED = SearchedModel("dropped", 3, score=0.1, images=50, status="dropped", reason="dropped after 50 images")
UNSEEN = SearchedModel("unseen", status="not looked at", reason="the time budget was used up before")
HEADLESS = SearchedModel("headless", status="failed", reason="no weights")
SEARCH = SearchResult(
    CELL,
    (FIRST, SECOND, DROPPED, HEADLESS),
    "all images",
    images=200,
    classes=5,
    forward_passes=450,
    seconds=3.2,
    budget_seconds=60.0,
    ordered_by="expected accuracy",
    expected_regret=0.012,
    command="transfer-exp run",
    notes=("a note",),
)


def with_models(*models, **fields):
    return replace(SEARCH, models=models, **fields)


def rendered(search, width=100, top=0):
    console = Console(file=StringIO(), width=width)
    console.print(search_table(search, top=top))
    return console.file.getvalue()


def test_the_table_has_ranks_intervals_levels_eliminated_models_and_verdict():
    text = " ".join(rendered(SEARCH).split())
    assert text.startswith("d: 5 classes, 200 images expected rank [95 %] model accuracy [80 %] score [95 %]")
    assert "1 [1, 2] first 0.80 [0.70, 0.90] 0.512 [0.490, 0.534]" in text
    assert "dropped after 50 images: dropped" in text
    assert "skipped headless: no weights" in text
    assert "Each of 2 models may be the best (95 %): first, second" in text
    assert "Expected loss of accuracy if only first is fine-tuned: 0.012" in text
    assert "Order: expected accuracy, which combines the score (logme after pca) with a linear classifier" in text
    assert "3 models ranked in 3 s: all images were used for the finalists" in text
    assert "75 % of the forward passes of a full evaluation of the pool" in text, "450 of 3 models times 200 images"
    assert text.endswith("A note Fine-tune these two: first, second")


def test_models_that_were_not_looked_at_are_in_the_first_line_and_count_as_part_of_the_pool():
    search = with_models(FIRST, SECOND, UNSEEN, HEADLESS, stop_reason="budget", seconds_missing=250.0)
    first_line = "Looked at 2 of 3 models; the best may be the other one (about 4 more minutes)"
    assert rendered(search).splitlines()[0] == verdict(search)[0] == first_line
    assert "not looked at: unseen" in rendered(search)
    assert "75 % of the forward passes" in rendered(search), "450 of 3 usable models times 200 images"
    two = with_models(FIRST, UNSEEN, replace(UNSEEN, model="x"), seconds_missing=0.3)
    assert verdict(two)[0].endswith("the best may be among the other 2 (about 1 more second)")


def test_the_interval_of_the_score_is_left_out_before_a_row_takes_two_lines():
    name = "convnextv2_nano.fcmae_ft_in22k_in1k"
    search = with_models(replace(FIRST, model=name), SECOND)
    assert "[0.490, 0.534]" in rendered(search)
    (row,) = (line for line in rendered(search, 80).splitlines() if name in line and "[1, 2]" in line)
    assert row.split() == ["1", "[1,", "2]", name, "0.80", "[0.70,", "0.90]", "0.512"]
    assert max(map(len, rendered(search, 80).splitlines())) <= 80


def test_equal_models_share_a_rank():
    search = with_models(FIRST, replace(SECOND, rank=1), finalist("third", 3, 0.4, 0.7, (3, 3)))
    ranks = [line.split()[0] for line in rendered(search).splitlines() if "[" in line]
    assert ranks == ["rank", "1=", "1=", "3"]


@pytest.mark.parametrize(("possible", "phrase"), [(1, "significantly better than every other"), (2, "the only")])
def test_a_model_is_called_better_only_if_it_beats_every_finalist(possible, phrase):
    search = with_models(finalist("a", 1, 0.5, 0.8, (1, possible)), finalist("b", 2, 0.1, 0.7, (2, 2)))
    assert phrase in rendered(search)
    assert ("significantly" in rendered(search)) == (possible == 1)
    assert next_step(search) == "Fine-tune this model: a"


def test_a_small_loss_is_not_called_zero_and_chance_is_not_called_good():
    assert "fine-tuned: less than 0.001" in rendered(replace(SEARCH, expected_regret=0.0004))
    poor = with_models(finalist("a", 1, 0.5, 0.22), finalist("b", 2, 0.4, 0.21))
    assert "None of these is good: the best expected accuracy, 0.22, is close to chance (0.20)" in rendered(poor)
    assert "None of these" not in rendered(SEARCH)


def test_models_that_failed_are_left_out_with_their_reasons():
    assert verdict(SEARCH)[0] == warnings(SEARCH)[0] == "Left out 1 of 4 models: headless (no weights)"
    other, third = replace(HEADLESS, model="other"), replace(HEADLESS, model="third", reason="no head")
    failed = with_models(FIRST, HEADLESS, other, third)
    assert verdict(failed)[0] == "Left out 3 of 4 models: headless, other (no weights), third (no head)"
    assert not any("Left out" in line for line in verdict(with_models(FIRST, SECOND)))


def test_no_model_is_recommended_if_the_best_is_close_to_chance():
    poor = with_models(finalist("a", 1, 0.5, 0.22, (1, 2)), finalist("b", 2, 0.4, 0.21, (1, 2)))
    assert poor.recommended == ()
    sentence = "No model is recommended: look at other models or add images"
    assert rendered(poor).splitlines()[-1] == verdict(poor)[-1] == sentence
    short, long = (replace(poor, stop_reason="budget", budget_seconds=seconds) for seconds in (5.0, 600.0))
    assert next_step(short) == "No model is recommended: look at more models (--budget 10m) or add images"
    assert next_step(long) == "No model is recommended: look at more models (--budget none) or add images"
    assert search_answer(poor).headline == next_step(poor)
    assert next_step(replace(poor, models=(replace(poor.models[0], accuracy=0.9), *poor.models[1:]))) == (
        "Accuracy after fine-tuning a: 0.900"
    )


def test_without_intervals_nothing_is_claimed_and_the_first_three_are_recommended():
    search = with_models(*(finalist(name, i + 1, 1.0 - i) for i, name in enumerate("abcd")), ordered_by="score")
    assert "may be the best" not in rendered(search)
    assert "Order: score (logme after pca)" in rendered(search)
    assert next_step(search) == "Fine-tune these three: a, b, c"
    assert search.best == ("a",)


def test_one_measured_accuracy_is_not_called_the_best():
    assert next_step(with_models(replace(FIRST, accuracy=0.71), SECOND)) == "Accuracy after fine-tuning first: 0.710"


def test_measured_accuracies_stand_in_the_table_and_end_the_verdict():
    search = with_models(replace(FIRST, accuracy=0.71), replace(SECOND, accuracy=0.76))
    assert "measured" in rendered(search)
    assert next_step(search) == "Best after fine-tuning these two: second, accuracy 0.760"


def test_all_outputs_have_the_same_table_and_the_same_facts(tmp_path):
    frame = search_frame(SEARCH)
    assert list(frame.columns) == list(asdict(FIRST))
    assert list(frame["model"]) == ["first", "second", "dropped", "headless"]
    assert frame.loc[3, ["rank", "score"]].isna().all()
    paths = write_search_record(SEARCH, {}, tmp_path)
    assert [path.name for path in paths] == ["result.json", "rank.csv", "rank.parquet"]
    record = json.loads(paths[0].read_text())
    for table in (pd.DataFrame(record["models"]), pd.read_csv(paths[1]), pd.read_parquet(paths[2])):
        assert list(table.columns) == list(frame.columns)
        assert table["score"].tolist()[:3] == [0.512, 0.5, 0.1]
        assert table["worst_rank_95"].isna().tolist() == [False, False, True, True]
    assert {name: record[name] for name in frame.attrs} == {**frame.attrs, "cell": {**CELL, "ground_truth": "none"}}
    assert record["verdict"][-1] == "Fine-tune these two: first, second"
    assert (record["stop_reason"], record["budget_seconds"], record["expected_regret"]) == ("all images", 60.0, 0.012)
    assert record["levels"] == {"score": 0.95, "rank": 0.95, "expected_accuracy": 0.8}
    assert read_search(paths[0]) == SEARCH
    paths[0].write_text(json.dumps({**record, "measure": "mse"}))
    with pytest.raises(InputError, match=r"result\.json: there is no measure 'mse': did you mean rmse"):
        read_search(paths[0])


def test_a_record_that_was_not_searched_or_is_damaged_is_no_search(tmp_path):
    path = tmp_path / "result.json"
    path.write_text('{"cell": {}}')
    assert read_search(path) is None
    for text in ('{"stop_reason": "budget", "cell": {}, "models": [{"model": 3}]}', '{"stop_reason": ""}'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"is not the record of a search .*: rank again"):
            read_search(path)


ONE, TWO = FIRST.model, SECOND.model


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("models",), [], "it has no model"),
        (("models", 1, "model"), ONE, f"model {ONE} appears twice"),
        (
            ("models", 1, "status"),
            "winner",
            f"status of {TWO} is 'winner' and not one of finalist, dropped, not looked",
        ),
        (("models", 0, "score"), None, f"finalist {ONE} has no score"),
        (("models", 0, "rank"), None, f"finalist {ONE} has no rank"),
        (("models", 0, "rank"), 0, f"rank of {ONE} is 0, and not from 1 to 4"),
        (("models", 0, "images"), 0, f"images of {ONE} is 0, and not from 1"),
        (("models", 0, "seconds"), -1.0, f"seconds of {ONE} is -1.0, and not from 0"),
        (("models", 0, "multiply_adds"), 10**400, f"multiply_adds of {ONE} is 10000000"),
        (("models", 0, "accuracy"), 7.0, f"accuracy 7 of {ONE} is out of the range of accuracy"),
        (("models", 0, "expected_accuracy"), 7.0, f"expected_accuracy of {ONE} is 7.0, and not from 0 to 1"),
        (("models", 0, "expected_accuracy_low_80"), None, f"expected_accuracy of {ONE} has no interval"),
        (("models", 0, "worst_rank_95"), None, f"the interval of the rank of {ONE} has one end"),
        (("images",), 0, "images is 0, and not from 1"),
        (("classes",), 0, "classes is 0, and not from 1"),
        (("forward_passes",), -1, "forward_passes is -1, and not from 0"),
        (("seconds",), -3.0, "seconds is -3.0, and not from 0"),
        (("ordered_by",), "x", "ordered_by is 'x' and not one of expected accuracy, score"),
        (("stop_reason",), "x", "stop_reason is 'x' and not one of all images, budget"),
        (("cell",), {"dataset": "d", "metric": "m"}, "its cell has no perturbation"),
    ],
    ids=str,
)
def test_an_edited_record_of_a_search_is_refused_by_name(tmp_path, path, value, reason):
    write_search_record(SEARCH, {}, tmp_path)
    record = json.loads((tmp_path / "result.json").read_text())
    *parents, last = path
    part = record
    for name in parents:
        part = part[name]
    part[last] = value
    (tmp_path / "result.json").write_text(json.dumps(record))
    with pytest.raises(InputError) as error:
        read_search(tmp_path / "result.json")
    assert f"result.json is not the record of a search ({reason}" in str(error.value)
    assert str(error.value).endswith("): rank again")


def test_a_search_whose_models_all_failed_or_were_all_fine_tuned_is_refused(tmp_path):
    models = [finalist(name, i + 1, 1.0 - i, accuracy=0.5) for i, name in enumerate("abcd")]
    write_search_record(with_models(*models[:3]), {}, tmp_path)
    for changed, reason in (
        ([{**asdict(model), "status": "failed"} for model in models], "it has no finalist"),
        ([asdict(model) for model in models], "more than 3 models have an accuracy"),
    ):
        record = json.loads((tmp_path / "result.json").read_text())
        (tmp_path / "result.json").write_text(json.dumps({**record, "models": changed}))
        with pytest.raises(InputError, match=rf"is not the record of a search \({reason}\): rank again"):
            read_search(tmp_path / "result.json")


def test_the_cell_of_a_search_has_scores_of_the_last_round_only(tmp_path):
    cell = last_round_as_cell(SEARCH)
    assert [model.score for model in cell.models] == [0.512, 0.5, None, None]
    assert [model.reason for model in cell.models] == ["", "", "dropped after 50 images", "no weights"]
    assert cell.cell["ground_truth"] == "none"
    write_search_record(SEARCH, {}, tmp_path)
    assert read_record(tmp_path / "result.json") == cell


@pytest.mark.parametrize("seconds", [0.0, 59.6])
def test_seconds_are_rounded_to_whole_numbers(seconds):
    assert f"1 model ranked in {seconds:.0f} s" in rendered(with_models(FIRST, seconds=seconds))


def test_200_models_fit_on_a_screen_of_80_columns_with_all_that_may_be_the_best():
    name = "vit_base_patch16_224.augreg2_in21k_ft_in1k"
    finalists = [finalist(f"{name}{i}", i + 1, 0.5 - i / 1000, 0.8, (1 if i in (0, 60) else 2, 99)) for i in range(100)]
    dropped = [replace(DROPPED, model=f"dropped{i}", rank=101 + i) for i in range(100)]
    console = Console(file=StringIO(), width=80)
    console.print(search_table(with_models(*finalists, *dropped), Path("outputs/runs/one"), top=10))
    lines = console.file.getvalue().splitlines()
    assert len(lines) < 40
    assert max(map(len, lines)) <= 80
    assert [sum(f"{name}{i} " in line for line in lines) for i in (9, 10, 60)] == [1, 0, 1]
    text = "\n".join(lines)
    assert "and 89 more (--top 0 shows all):\n  outputs/runs/one/rank.csv\n" in text
    assert "dropped4 and 95 more" in " ".join(text.split())


def test_the_best_of_measured_errors_is_the_smallest():
    search = with_models(finalist("a", 1, 0.5, accuracy=7.5), finalist("b", 2, 0.4, accuracy=2.25), measure="mae")
    assert next_step(search) == "Best after fine-tuning these two: b, mae 2.250"
    one = with_models(finalist("a", 1, 0.5, accuracy=7.5), finalist("b", 2, 0.4), measure="mae")
    assert next_step(one) == "mae after fine-tuning a: 7.500"


PAIRS = (
    AdaptedModel("first", "lora", accuracy=0.7, validation=0.6, trainable_parameters=2_000, training_seconds=9.0),
    AdaptedModel("first", "full", accuracy=0.6, validation=0.8, trainable_parameters=90_000, training_seconds=30.0),
    AdaptedModel("second", "lora", "failed", reason="it has no linear layers"),
    AdaptedModel("second", "full", "not tried", expected_seconds=150.0, reason="it needs about 150.0 s"),
)
COMPARED = replace(SEARCH, pairs=PAIRS, command="")


def test_pairs_are_in_the_order_of_their_validation_and_the_last_line_names_the_best():
    text = " ".join(rendered(COMPARED).split())
    assert "test model regime validation accuracy trained seconds" in text
    assert text.index("first full 0.800 0.600 90,000 30.0") < text.index("first lora 0.600 0.700 2,000 9.0")
    assert "first with full trains 90 k parameters in 30.0 s" in text
    assert "Not tried for lack of time, 1 of 4 pairs: second with full (about 2.5 min)" in text
    assert "No lora of second: it has no linear layers" in text
    assert text.endswith("Best of 2 pairs on validation images: first with full, test accuracy 0.600")
    assert "and 1 more pairs in regimes.csv" in " ".join(rendered(COMPARED, top=1).split())


def test_pairs_are_in_the_record_the_table_of_regimes_and_on_the_page(tmp_path):
    paths = write_search_record(COMPARED, {}, tmp_path)
    assert [path.name for path in paths] == ["result.json", "rank.csv", "rank.parquet", "regimes.csv"]
    assert read_search(tmp_path / "result.json").pairs == PAIRS
    table = pd.read_csv(tmp_path / "regimes.csv").set_index(["model", "ground_truth"])
    assert list(table.index[:2]) == [("first", "full"), ("first", "lora")]
    assert set(table.index[2:]) == {("second", "lora"), ("second", "full")}
    assert list(table.index[table["least_parameters"]]) == [("first", "lora")], "full is worse on test images"
    assert table.loc[("second", "full"), "status"] == "not tried"
    data = page_data(tmp_path)
    assert [(row["model"], row["ground_truth"]) for row in data["regimes"]] == [("first", "full"), ("first", "lora")]
    assert data["cells"][0]["answer"]["headline"].startswith("Best of 2 pairs on validation images: first with full")
    assert "regimes.csv" not in [path.name for path in write_search_record(SEARCH, {}, tmp_path / "without")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "done"}, "status of first with lora is 'done'"),
        ({"validation": None}, "first with lora is measured, and its accuracies do not fit that"),
        ({"accuracy": 1.5}, "accuracy 1.5 of first with lora is out of the range"),
        ({"training_seconds": -1.0}, "training_seconds of first with lora is -1.0"),
        ({"model": "absent"}, "it has a pair of absent, which is not one of its models"),
    ],
)
def test_an_edited_pair_is_refused_by_name(tmp_path, changes, reason):
    write_search_record(COMPARED, {}, tmp_path)
    record = json.loads((tmp_path / "result.json").read_text())
    record["pairs"][0] |= changes
    (tmp_path / "result.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=re.escape(reason)):
        read_search(tmp_path / "result.json")
