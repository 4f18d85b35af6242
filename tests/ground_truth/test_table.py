"""Accuracy tables: the right row, or an error that names the problem."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from torch_helpers import fake_pairing

from transfer_exp.errors import InputError
from transfer_exp.ground_truth.regime import NoGroundTruth
from transfer_exp.ground_truth.table import AccuracyTable
from transfer_exp.progress import silent

ROWS = """pool,model,dataset,regime,accuracy,source,seed
cnn,a,pets,full,91.5,paper,0
cnn,b,pets,full,80,paper,0
cnn,b,pets,full,82,rerun,1
cnn,a,pets,linear,70,paper,0
cnn,a,cars,full,60,paper,0
"""


def _lookup(tmp_path, model="a", dataset="pets", rows=ROWS, **options):
    path = tmp_path / "table.csv"
    path.write_text(rows)
    pairing = fake_pairing(model, dataset=SimpleNamespace(name=dataset))
    return AccuracyTable(str(path), **{"unit": "percent", "regime": "full", **options})(pairing, silent)


def test_an_accuracy_has_the_source_of_its_row(tmp_path):
    accuracy = _lookup(tmp_path)
    assert (accuracy.value, accuracy.source) == (0.915, "paper")


def test_rows_that_differ_in_the_seed_are_averaged(tmp_path, caplog):
    accuracy = _lookup(tmp_path, "b")
    _lookup(tmp_path, "a")
    assert len(caplog.messages) == 1, "one warning for all models"
    assert "model a has 1 seed(s) on dataset 'pets', and b has 2: each accuracy is the mean" in caplog.text
    assert accuracy.value == pytest.approx(0.81)
    assert accuracy.source == "paper; rerun"


def test_a_model_the_table_lacks_has_no_accuracy(tmp_path):
    assert _lookup(tmp_path, "c") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"regime": None}, "several values of regime"),
        ({"regime": "ful"}, "did you mean full"),
        ({"dataset": "pet"}, "no rows for dataset 'pet': did you mean pets"),
        ({"unit": "percents"}, "fraction or percent"),
        ({"unit": "fraction"}, r"line 2: accuracy 91.5 is not a fraction"),
        ({"unit": "fraction"}, r"or set ground_truth\.unit=percent"),
        ({"rows": ROWS.replace("80", "eighty")}, "line 3: accuracy 'eighty' is not a finite number"),
        (
            {"rows": ROWS.replace("80", "80 %")},
            r"line 3: accuracy '80 %': write the number alone, and set ground_truth\.unit=percent",
        ),
        ({"rows": re.sub(r"\d\d(\.5)?,", "0.8,", ROWS)}, r"no accuracy above 1 %: set ground_truth\.unit=fraction"),
        ({"rows": ROWS.replace("accuracy", "top1")}, "lacks the column 'accuracy'"),
        (
            {"rows": ROWS.replace("rerun,1", "rerun,0")},
            "lines 3 and 4 both give the accuracy of model b on dataset 'pets'",
        ),
        (
            {"rows": ROWS.replace("rerun,1", "rerun,0.0")},
            "lines 3 and 4 both give the accuracy of model b on dataset 'pets': keep one",
        ),
        ({"rows": ROWS.replace(",seed", ",rerun")}, "lines 3 and 4 .* and differ in rerun, not only in the seed"),
        ({"rows": ""}, "not a CSV table"),
        ({"rows": "model,dataset,accuracy,source\na,pets,1,x\n"}, "no column regime"),
    ],
)
def test_a_bad_table_or_option_is_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        _lookup(tmp_path, **change)


def test_an_empty_accuracy_is_none_and_an_empty_source_is_left_out(tmp_path):
    rows = ROWS.replace("82,rerun", ",rerun").replace("80,paper", "80,").replace("91.5", "")
    accuracy = _lookup(tmp_path, "b", rows=rows)
    assert (accuracy.value, accuracy.source) == (0.8, "")
    assert _lookup(tmp_path, "a", rows=rows) is None


@pytest.mark.parametrize("name", ["NA", "None", "nan", "null", "n/a", "-", "1.0", "001"])
def test_any_text_is_the_name_of_a_model_or_dataset(tmp_path, name):
    rows = f"model,dataset,accuracy\n{name},{name},50\nb,{name},60\n"
    assert _lookup(tmp_path, name, name, rows, regime=None).value == 0.5


def test_an_edited_table_is_read_again(tmp_path):
    values = [_lookup(tmp_path, "b", rows=ROWS.replace("80", value)).value for value in ("10", "20")]
    assert values == [pytest.approx(0.46), pytest.approx(0.51)]


def test_the_error_names_a_missing_table(tmp_path):
    pairing = fake_pairing("a", dataset=SimpleNamespace(name="pets"))
    with pytest.raises(InputError, match=r"no table .*absent\.csv"):
        AccuracyTable(str(tmp_path / "absent.csv"))(pairing, silent)


def test_no_ground_truth_returns_none():
    assert NoGroundTruth()(fake_pairing(), silent) is None


def test_unsound_rows_are_used_only_on_request(tmp_path):
    head, *lines = ROWS.strip().splitlines()
    sound = "\n".join([f"{head},sound", *(f"{line},{'no' if 'cars' in line else 'yes'}" for line in lines)])
    with pytest.raises(InputError, match=r"only unsound rows for dataset 'cars'.*ground_truth\.unsound=true"):
        _lookup(tmp_path, dataset="cars", rows=sound)
    assert _lookup(tmp_path, dataset="cars", rows=sound, unsound=True).value == pytest.approx(0.6)
    table = AccuracyTable(str(tmp_path / "table.csv"), "full", unit="percent")
    assert table.other_accuracies("a", "pets") == {}
    assert AccuracyTable(str(tmp_path / "table.csv"), "full", unit="percent", unsound=True).other_accuracies(
        "a", "pets"
    )


@pytest.mark.parametrize("word", ["no", "No", "FALSE", "0"])
def test_a_row_that_is_not_sound_in_any_spelling_needs_the_option(tmp_path, word):
    rows = f"model,dataset,accuracy,source,sound\na,pets,90,paper,{word}\nb,pets,80,paper,Yes\n"
    with pytest.raises(InputError, match=r"no rows for dataset|only unsound rows"):
        _lookup(tmp_path, rows=rows.replace("b,pets", "b,cars"), regime=None)
    assert _lookup(tmp_path, rows=rows, regime=None) is None
    assert _lookup(tmp_path, rows=rows, regime=None, unsound=True).value == 0.9


def test_an_unknown_word_for_sound_and_a_row_without_a_model_are_named(tmp_path):
    with pytest.raises(InputError, match="line 2: sound 'perhaps' is neither yes nor no"):
        _lookup(tmp_path, rows="model,dataset,accuracy,source,sound\na,pets,90,paper,perhaps\n", regime=None)
    with pytest.raises(InputError, match="line 2 has no model"):
        _lookup(tmp_path, rows="model,dataset,accuracy,source\n,pets,90,paper\n", regime=None)


def test_names_match_in_any_unicode_form(tmp_path):
    rows = "model,dataset,accuracy,source\ncafe\u0301,pets,90,paper\n"
    assert _lookup(tmp_path, "caf\u00e9", rows=rows, regime=None).value == 0.9


def test_errors_on_other_datasets_have_a_minus_sign_so_that_larger_is_better(tmp_path):
    path = tmp_path / "accuracies.csv"
    path.write_text("model,dataset,measure,accuracy\na,angles,mae,7.5\na,pets,accuracy,0.9\na,dtd,,0.5\n")
    assert AccuracyTable(str(path)).other_accuracies("a", "dtd") == {"angles": -7.5, "pets": 0.9}
