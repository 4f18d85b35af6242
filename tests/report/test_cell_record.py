"""Record files survive a round trip, and any reader of strict JSON and CSV can read them."""

import csv
import json
import math
from pathlib import Path

import pytest

from transfer_exp.errors import InputError
from transfer_exp.io.csv import read_table
from transfer_exp.report.record import read_record, to_json_value, write_record, write_result_rows
from transfer_exp.results.cell import CellResult, ModelResult

CELL = {"model_pool": "builtin", "dataset": "digits", "perturbation": "none", "metric": "logme", "seed": "0"}
MODELS = (ModelResult("a, b", 0.1 + 0.2, 0.7), ModelResult("ü", -1e-17, 0.9), ModelResult("c", None, None, "no head"))
RESULT = CellResult(CELL, MODELS, {"weighted_tau": -1 / 3}, (-1.0, 0.9), tied=False, null_level=0.9)


def test_a_record_survives_the_round_trip(tmp_path):
    paths = write_record(RESULT, {}, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["result.json", "ranking.csv"]
    assert read_record(paths[0]) == RESULT
    without_scores = CellResult(CELL, MODELS[2:])
    assert read_record(write_record(without_scores, {}, tmp_path)[0]) == without_scores


def test_the_json_is_strict_and_holds_the_config(tmp_path):
    def refuse(constant):
        raise AssertionError(constant)

    config = {"metric": {"_target_": "x.Y", "alpha": 0.1}, "limit": math.inf, "root": tmp_path, "names": ("a", None)}
    write_record(RESULT, config, tmp_path)
    record = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"), parse_constant=refuse)
    expected = {
        "metric": {"_target_": "x.Y", "alpha": 0.1},
        "limit": "inf",
        "root": str(tmp_path),
        "names": ["a", None],
    }
    assert record["config"] == expected
    assert record["package_version"]
    assert to_json_value({1: [True, math.nan]}) == {"1": [True, "nan"]}
    assert to_json_value({"\udce4": "é\n\udce4", "path": Path("\udce4")}) == {
        r"\udce4": "é\n" r"\udce4",
        "path": r"\udce4",
    }


def test_the_csv_holds_the_ranking_in_full_precision(tmp_path):
    write_record(RESULT, {}, tmp_path)
    with (tmp_path / "ranking.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["score_rank"], row["accuracy_rank"]) for row in rows] == [
        ("a, b", "1.0", "2.0"),
        ("ü", "2.0", "1.0"),
        ("c", "", ""),
    ]
    assert float(rows[0]["score"]) == 0.1 + 0.2
    assert rows[2]["reason"] == "no head"


def test_parts_survive_the_round_trip_and_are_the_last_columns_of_the_csv(tmp_path):
    models = (ModelResult("a", 1.0, parts={"energy": 0.1 + 0.2, "lda": 1.0}), ModelResult("b", None, reason="none"))
    write_record(CellResult(CELL, models), {}, tmp_path)
    assert read_record(tmp_path / "result.json").models == models
    with (tmp_path / "ranking.csv").open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["energy"], first["lda"], second["energy"]) == (str(0.1 + 0.2), "1.0", "")


def test_the_cost_of_the_training_survives_the_round_trip(tmp_path):
    models = (ModelResult("a", 1.0, 0.5, trainable_parameters=123, training_seconds=0.25), ModelResult("b", 0.5, 0.5))
    write_record(CellResult(CELL, models), {}, tmp_path)
    read = read_record(tmp_path / "result.json").models
    assert read == models
    assert (read[0].training_seconds, read[1].training_seconds) == (0.25, None)


def test_a_second_write_replaces_the_first_and_leaves_no_other_files(tmp_path):
    write_record(RESULT, {}, tmp_path)
    changed = CellResult({**CELL, "seed": "1"}, MODELS)
    write_record(changed, {}, tmp_path)
    assert read_record(tmp_path / "result.json") == changed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ranking.csv", "result.json"]


def test_a_result_with_nan_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(InputError, match="NaN or infinity"):
        write_record(CellResult(CELL, (ModelResult("a", math.nan),)), {}, tmp_path)
    assert not list(tmp_path.iterdir())


LONG = '{"cell": {}, "models": [], "measures": {"tau": 1' + "0" * 400 + "}}"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cell": {}, "models": [{"x": 1}]}', LONG])
def test_a_file_that_is_not_a_record_is_refused_by_name(tmp_path, text):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError, match=r"result\.json is not .* run the cell again"):
        read_record(tmp_path / "result.json")
    with pytest.raises(InputError, match="cannot read"):
        read_record(tmp_path / "absent.json")


def test_rows_replace_earlier_rows_and_no_record(tmp_path):
    record, table = write_record(RESULT, {}, tmp_path)
    before = record.read_text(), table.read_text()
    for path in (record, table):
        with pytest.raises(InputError, match=f"{path.name} is not an earlier table of models and cells: name another"):
            write_result_rows(tmp_path, path)
    assert (record.read_text(), table.read_text()) == before
    for _ in range(2):
        assert write_result_rows(tmp_path, tmp_path / "rows.csv") == 1
    assert set(read_table(tmp_path / "rows.csv")["measure"]) == {RESULT.measure}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"models": [{"model": "a", "score": 1.0}] * 2}, "model a appears twice"),
        ({"models": [{"model": "a", "status": "winner"}]}, "status of a is 'winner' and not one of finalist"),
        ({"models": [{"model": "a", "accuracy": 7}]}, "accuracy 7 of a is out of the range of accuracy"),
        ({"models": [{"model": "a", "accuracy": -0.1}]}, "accuracy -0.1 of a is out of the range of accuracy"),
        ({"models": [{"model": "a", "accuracy": -1}], "measure": "mae"}, "accuracy -1 of a is out of the range of mae"),
        ({"models": [{"model": "a", "training_seconds": -1}]}, "training_seconds of a is -1.0, and not from 0"),
        (
            {"models": [{"model": "a", "trainable_parameters": 1 << 63}]},
            "trainable_parameters of a is 9223372036854775808",
        ),
        ({"null_band": [1, -1]}, "null_band [1.0, -1.0] is not an interval in [-1, 1]"),
        ({"null_level": 1}, "null_level 1.0 is not between 0 and 1"),
    ],
    ids=str,
)
def test_an_edited_record_is_refused_by_name(tmp_path, change, reason):
    write_record(RESULT, {}, tmp_path)
    record = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    (tmp_path / "result.json").write_text(json.dumps(record | change))
    with pytest.raises(InputError) as error:
        read_record(tmp_path / "result.json")
    assert "result.json is not the record of a cell" in str(error.value)
    assert reason in str(error.value)


@pytest.mark.parametrize(("measure", "value"), [("mae", 7.5), ("r2", -3.0), ("accuracy", 1.0), ("accuracy", 0.0)])
def test_possible_values_of_a_measure_are_read(tmp_path, measure, value):
    one = 1 + 2**-52  # as rounding makes it
    result = CellResult(CELL, (ModelResult("a", 1.0, value),), null_band=(-one, one), measure=measure)
    assert read_record(write_record(result, {}, tmp_path)[0]) == result


def test_settings_and_findings_with_bytes_that_are_no_characters_are_written_as_escapes(tmp_path):
    write_record(RESULT, {"root": "a\udce4"}, tmp_path, ["a\udce4/0.png is black"])
    record = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert (record["config"], record["findings"]) == ({"root": r"a\udce4"}, [r"a\udce4/0.png is black"])
