"""Images listed in a CSV are read with or without splits, and every wrong line is refused."""

from __future__ import annotations

import numpy as np
import pytest
from example_datasets import image_folders, write_lines

from transfer_exp.dataset.image_folder import image_folder
from transfer_exp.dataset.image_table import image_table
from transfer_exp.errors import InputError

BIRDS = [f"{name}/{number:03d}.jpg,{name}" for name in ("wren", "heron") for number in range(6)]
SPLITS = ["train"] * 3 + ["validation", "test", "test"]


@pytest.fixture
def folder(tmp_path):
    """Return a folder with six images of each of two classes, and a CSV that splits them."""
    image_folders(tmp_path / "birds", ["wren", "heron"], 6)
    lines = [f"{line},{split}" for line, split in zip(BIRDS, SPLITS * 2, strict=True)]
    write_lines(tmp_path / "birds" / "split.csv", ["file,label,split", *lines])
    write_lines(tmp_path / "birds" / "whole.csv", ["file,label", *BIRDS])
    return tmp_path / "birds"


def spoil(folder, line, text, table="split.csv"):
    """Write another text in a line of the CSV, counted from one."""
    lines = (folder / table).read_text().splitlines()
    lines[line - 1] = text
    write_lines(folder / table, lines)
    return str(folder / table)


def fingerprints(images):
    return {images.fingerprint(i) for i in range(len(images))}


def test_the_splits_of_the_table_are_used(folder):
    target = image_table(str(folder / "split.csv"))
    assert (target.name, target.class_names, target.measure) == ("split", ("heron", "wren"), "accuracy")
    assert target.train.labels.tolist() == [1, 1, 1, 0, 0, 0], "in the order of the lines"
    assert target.validation.labels.tolist() == [1, 0]
    assert target.test.labels.tolist() == [1, 1, 0, 0]
    assert target.train.fingerprint(4) == (folder / "heron" / "001.jpg").read_bytes()
    assert target.train.read(4).size == (32, 32)
    assert target.train.name(4) == str(folder / "heron" / "001.jpg")


def test_a_table_without_splits_is_split_like_the_same_folders(folder):
    target, same = image_table(str(folder / "whole.csv"), seed=3), image_folder(str(folder), seed=3)
    assert (len(target.train), len(target.test), target.validation) == (8, 4, None)
    assert np.bincount(target.test.labels).tolist() == [2, 2]
    assert not fingerprints(target.train) & fingerprints(target.test)
    assert fingerprints(target.train) != fingerprints(image_table(str(folder / "whole.csv"), seed=4).train)
    assert {len(same.train), len(same.test)} == {8, 4}


def test_test_images_are_drawn_where_the_table_has_none(folder):
    table = folder / "split.csv"
    table.write_text(table.read_text().replace(",test", ",train"))
    target = image_table(str(table), test_fraction=0.4)
    assert (len(target.train), len(target.validation), len(target.test)) == (6, 2, 4)


def test_files_may_be_elsewhere_and_names_may_have_blanks_around_them(folder, tmp_path, monkeypatch):
    write_lines(tmp_path / "t.csv", ["note,label,file", *(f"x, {b.split(',')[1]} ,{b.split(',')[0]}" for b in BIRDS)])
    monkeypatch.setenv("HOME", str(tmp_path))
    target = image_table("~/t.csv", root="~/birds", name="mine", scoring_set_size=4)
    assert (target.name, target.class_names, len(target.scoring_set)) == ("mine", ("heron", "wren"), 4)
    assert fingerprints(target.scoring_set) < fingerprints(target.train)


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("Train", "val", "TEST"), ("training", "valid", "Testing"), ("TRAIN", "dev", "eval")],
)
def test_splits_have_the_usual_names_in_any_capitals(folder, train, validation, test):
    table = folder / "split.csv"
    text = table.read_text().replace(",validation", f",{validation}").replace(",test", f", {test} ")
    table.write_text(text.replace(",train", f",{train}"))
    target = image_table(str(table))
    assert [len(split) for split in (target.train, target.validation, target.test)] == [6, 2, 4]


def test_a_split_without_labels_is_passed_over_by_name(folder):
    table = folder / "split.csv"
    table.write_text(table.read_text().replace(",heron,test", ",,test").replace(",wren,test", ",,test"))
    target = image_table(str(table))
    assert (len(target.train), len(target.test)) == (4, 2)
    (names,) = target.passed_over.values()
    assert names == ("wren/004.jpg", "wren/005.jpg", "heron/004.jpg", "heron/005.jpg")
    table.write_text(table.read_text().replace("wren/004.jpg,,", "wren/004.jpg,wren,"))
    with pytest.raises(InputError, match="line 7: label '' is empty"):
        image_table(str(table))


def test_files_of_other_systems_are_found(folder):
    for label in ("wren", "heron"):
        (folder / label).rename(folder / f"{label}\u00e9")
    lines = [line.replace("/", "e\u0301\\") for line in BIRDS]
    write_lines(folder / "windows.csv", ["file,label", *lines])
    (folder / "heron\u00e9" / "back\\slash.jpg").write_bytes((folder / "heron\u00e9" / "000.jpg").read_bytes() + b" ")
    write_lines(folder / "both.csv", ["file,label", *lines, "heron\u00e9/back\\slash.jpg,heron"])
    assert len(image_table(str(folder / "windows.csv")).train) == 8
    assert len(image_table(str(folder / "both.csv")).train) == 9
    write_lines(folder / "twice.csv", ["file,label", *lines, f"{BIRDS[0].replace('/', chr(233) + '/')}"])
    with pytest.raises(InputError, match="is in an earlier line too"):
        image_table(str(folder / "twice.csv"))


def test_absolute_paths_need_a_root_that_holds_them(folder, tmp_path):
    write_lines(folder / "below.csv", ["file,label", *(f"{folder}/{line}" for line in BIRDS)])
    write_lines(tmp_path / "lists" / "elsewhere.csv", ["file,label", *(f"{folder}/{line}" for line in BIRDS)])
    below = image_table(str(folder / "below.csv"))
    assert below.train.digest == image_table(str(folder / "whole.csv")).train.digest
    with pytest.raises(InputError, match=r"000\.jpg leads out of .*lists, .*: copy it .*; .* set dataset\.root=/$"):
        image_table(str(tmp_path / "lists" / "elsewhere.csv"))
    assert image_table(str(tmp_path / "lists" / "elsewhere.csv"), root="/").train.digest == below.train.digest


def test_one_class_may_be_written_with_composed_and_decomposed_accents(folder):
    lines = [
        line.replace(",wren", f",wren{accent}") for line, accent in zip(BIRDS, ["\u00e9", "e\u0301"] * 6, strict=True)
    ]
    write_lines(folder / "accents.csv", ["file,label", *lines])
    assert image_table(str(folder / "accents.csv")).class_names == ("heron", "wren\u00e9")


WRONG = {
    "no label": (2, "wren/000.jpg,,train", r"split\.csv line 2: label '' is empty: fill it in"),
    "no file": (4, " ,wren,train", r"line 4: file '' is empty"),
    "no split": (3, "wren/001.jpg,wren,", r"line 3: split '' is unknown: use train, validation or test"),
    "unknown split": (3, "wren/001.jpg,wren,holdout", r"line 3: split 'holdout' is unknown"),
    "file not there": (
        5,
        "wren/009.jpg,wren,train",
        r"line 5: file 'wren/009\.jpg' is not in .*birds: correct it, or set",
    ),
    "windows": (
        5,
        r"C:\photos\wren\9.jpg,wren,train",
        r"line 5: file 'C:.* is a path of Windows: write it relative to",
    ),
    "folder": (5, "wren,wren,train", r"line 5: file 'wren' is not in"),
    "another label": (6, "wren/000.jpg,heron,train", r"line 6: file 'wren/000\.jpg' is in an earlier line too"),
    "same file": (
        6,
        "heron/../wren/000.jpg,wren,test",
        r"line 6: file 'heron/\.\./wren/000\.jpg' is in an earlier",
    ),
    "outside": (6, "../secret.jpg,wren,train", r"secret\.jpg leads out of"),
    "outside, absolute": (6, "/etc/hostname,wren,train", r"/etc/hostname leads out of"),
    "endless name": (6, f"{'x' * 300},wren,train", "impossible file name"),
    "column like splits": (1, "file,label,subset", "has splits in its column 'subset': call the column split"),
    "short name of a split": (3, "wren/001.jpg,wren,trn", r"line 3: split 'trn' is unknown: use train, validation or"),
    "fold": (3, "wren/001.jpg,wren,fold0", r"line 3: split 'fold0' is unknown: use train, validation or test"),
    "column": (1, "path,label,split", r"lacks the column 'file': available: label, path, split"),
    "class without training images": (7, "wren/005.jpg,owl,test", "class 'owl' has 0 training and 1 test images"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_line_is_refused_in_one_line(folder, case):
    line, text, message = WRONG[case]
    (folder.parent / "secret.jpg").write_bytes((folder / "wren" / "000.jpg").read_bytes())
    with pytest.raises(InputError, match=message) as caught:
        image_table(spoil(folder, line, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("on_unreadable", ["refuse", "skip"])
def test_a_link_in_the_folder_cannot_lead_out_of_it(folder, on_unreadable):
    link = folder / "wren" / "000.jpg"
    link.rename(folder.parent / "secret.jpg")
    link.symlink_to(folder.parent / "secret.jpg")
    with pytest.raises(InputError, match=r"000\.jpg leads out of"):
        image_table(str(folder / "split.csv"), on_unreadable=on_unreadable)


def test_missing_and_damaged_images_are_skipped_only_on_request(folder, caplog):
    path = folder / "heron" / "002.jpg"
    path.write_bytes(path.read_bytes()[:300])
    refused = image_table(str(folder / "split.csv"))
    with pytest.raises(InputError, match=r"002\.jpg is not a readable image: remove it or set dataset\.on_unre"):
        refused.train.read(5)
    (folder / "wren" / "001.jpg").unlink()
    skipped = image_table(str(folder / "split.csv"), on_unreadable="skip")
    assert skipped.train.labels.tolist() == [1, 1, 0, 0]
    assert caplog.messages == [
        f"left out 2 unreadable image(s) of {folder}: {folder / 'wren' / '001.jpg'}, {folder / 'heron' / '002.jpg'}"
    ]


def test_a_class_without_readable_images_is_refused(folder):
    for path in (folder / "heron").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match="has no readable image of class 'heron'"):
        image_table(str(folder / "split.csv"), on_unreadable="skip")


def test_a_missing_table_folder_or_training_split_or_a_wrong_option_is_refused(folder):
    table = folder / "split.csv"
    with pytest.raises(InputError, match=r"no table dataset\.path=/no/such\.csv"):
        image_table("/no/such.csv")
    with pytest.raises(InputError, match=r"dataset\.root=/no/such is not a folder"):
        image_table(str(table), root="/no/such")
    with pytest.raises(InputError, match="on_unreadable=ignore must be refuse or skip"):
        image_table(str(table), on_unreadable="ignore")
    table.write_text(table.read_text().replace(",train", ",test"))
    with pytest.raises(InputError, match="has no line of split train"):
        image_table(str(table))
    write_lines(table, ["file,label"])
    with pytest.raises(InputError, match="has no line of split train"):
        image_table(str(table))
