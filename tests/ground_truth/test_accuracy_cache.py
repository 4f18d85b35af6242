"""Table of accuracies in a store: one row each with everything that decides it, readable as ground truth."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from torch_helpers import fake_pairing

from transfer_exp.errors import InputError
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.model_on_target import NetworkOnImages
from transfer_exp.ground_truth.accuracy_cache import COLUMNS, TABLE, CachedAccuracies, accuracy_row, append_row
from transfer_exp.ground_truth.full import FullFineTuning
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.ground_truth.regime import Accuracy
from transfer_exp.ground_truth.table import AccuracyTable
from transfer_exp.io.atomic import digest
from transfer_exp.io.csv import read_table, write_table
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.progress import silent
from transfer_exp.store import Backend, Store, open_backend

pytestmark = pytest.mark.slow

IDENTITY = {"model": {"weights": "w"}, "train": "a", "validation": None, "test": "b", "measure": "accuracy"}
NAMES = {"pool": "p", "model": "m", "dataset": "d", "regime": "full", "protocol": "quick", "seed": "0"}


def row(key="k", value=0.1 + 0.2, **names):
    accuracy = Accuracy(value, "accuracy", {"learning_rate": 0.1}, steps=3)
    return {**accuracy_row(accuracy, {**NAMES, **names}, IDENTITY, "cpu", 1.5), "key": key}


def test_a_row_has_all_columns():
    assert set(row()) == set(COLUMNS)
    assert (
        row()["data"]
        != {**accuracy_row(Accuracy(0.5, "accuracy"), NAMES, {**IDENTITY, "test": "c"}, "cpu", 1.0)}["data"]
    )
    assert "torch 2" in row()["versions"]


def test_each_accuracy_is_one_row_and_is_read_back_exactly(tmp_path):
    path = tmp_path / TABLE
    for key, seed, value in (("k", "0", 0.1 + 0.2), ("k", "0", 0.9), ("l", "1", 0.5)):
        append_row(open_backend(tmp_path), row(key, value, seed=seed))
    table = pd.read_csv(path)
    assert list(table["key"]) == ["k", "l"]
    assert table["accuracy"][0] == 0.1 + 0.2
    pairing = fake_pairing("m", type("Target", (), {"name": "d"}))
    assert AccuracyTable(str(path))(pairing, silent).value == (0.1 + 0.2 + 0.5) / 2


def test_rows_of_several_protocols_are_not_averaged(tmp_path):
    path = tmp_path / TABLE
    append_row(open_backend(tmp_path), row("k", 0.4))
    append_row(open_backend(tmp_path), row("l", 0.6, protocol="paper"))
    pairing = fake_pairing("m", type("Target", (), {"name": "d"}))
    with pytest.raises(InputError, match="several values of protocol"):
        AccuracyTable(str(path))(pairing, silent)
    assert AccuracyTable(str(path), protocol="paper")(pairing, silent).value == 0.6


@pytest.mark.parametrize("damage", ["cut off", "cut off in the header", "other bytes", "empty"])
def test_a_damaged_table_is_rebuilt_from_the_records(tmp_path, caplog, damage):
    store, path = Store(tmp_path), tmp_path / TABLE
    rows = [record(store, seed) for seed in "01"]
    append_row(store.backend, rows[0])
    content = path.read_bytes()
    path.write_bytes(
        {
            "cut off": content[: content.index(rows[1]["key"].encode())],
            "cut off in the header": content[: content.index(b"regime") + 3],
            "other bytes": content[:-9] + b"\xff\xfe\0" + content[-9:],
            "empty": b"",
        }[damage]
    )
    damaged = path.read_bytes()
    for _ in range(2):
        append_row(store.backend, rows[0])
        assert seeds(store.backend) == ["0", "1"]
    if damage != "cut off in the header":
        (message,) = caplog.messages
        assert message.startswith(f"{path} is damaged and will be rebuilt from the records; {TABLE}.damaged is a copy")
        assert (tmp_path / "accuracies.csv.damaged").read_bytes() == damaged


def test_a_folder_in_the_place_of_the_table_is_refused_before_the_training(tmp_path):
    (tmp_path / TABLE).mkdir()
    with pytest.raises(InputError, match=r"accuracies\.csv is a folder where the store needs a file: remove it"):
        append_row(open_backend(tmp_path), row())
    regime = type("Regime", (), {"trains": True, "__call__": lambda *_: pytest.fail("trained")})()
    pairing = object.__new__(NetworkOnImages)
    with pytest.raises(InputError, match=r"accuracies\.csv is a folder where the store needs a file: remove it"):
        CachedAccuracies(regime, Store(tmp_path), "cpu", NAMES)(pairing, silent)


def test_a_foreign_table_is_not_overwritten(tmp_path):
    path = tmp_path / TABLE
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="move it away"):
        append_row(open_backend(tmp_path), row())
    assert path.read_text() == "a,b\n1,2\n"


def test_a_table_without_the_newest_column_is_read_and_continued(tmp_path):
    path, old = tmp_path / TABLE, COLUMNS[:-1]
    assert COLUMNS[-1] == "trainable_parameters"
    write_table(path, pd.DataFrame([{name: row()[name] for name in old}], columns=old))
    append_row(open_backend(tmp_path), {**row("l", 0.5, seed="1"), "trainable_parameters": 12})
    table = read_table(path)
    assert list(table.columns) == list(COLUMNS)
    assert list(table["trainable_parameters"]) == ["", "12"]
    pairing = fake_pairing("m", type("Target", (), {"name": "d"}))
    assert AccuracyTable(str(path))(pairing, silent).value == (0.1 + 0.2 + 0.5) / 2, "seeds are averaged as before"


def test_a_record_without_the_newest_column_completes_a_table(tmp_path):
    store = Store(tmp_path)
    old = {name: value for name, value in row().items() if name not in ("key", "trainable_parameters")}
    store.get_or_compute_record("accuracy", {"seed": 0}, lambda: {"row": old})
    append_row(store.backend, row("l", 0.5, seed="1"))
    assert len(read_table(tmp_path / TABLE)) == 2


@pytest.fixture(params=["folder", "s3"])
def location(request, tmp_path):
    """Return the location of a store in a folder whose name is a pattern, and in an object store."""
    return tmp_path / "st[o]re" if request.param == "folder" else f"{request.getfixturevalue('s3')}/some/store"


def record(store, seed):
    """Return the row of an accuracy after saving its record, as a run does."""
    key = {"seed": seed}
    saved, _ = store.get_or_compute_record(
        "accuracy", key, lambda: {"row": {n: v for n, v in row(seed=seed).items() if n != "key"}}
    )
    return {**saved["row"], "key": digest(key)}


def seeds(backend):
    with backend.local_file(TABLE) as path:
        return sorted(read_table(path)["seed"])


def test_rows_of_others_survive_a_process_that_is_suspended_before_it_writes(location, monkeypatch):
    """The suspended process wakes up long after its lock was broken, and writes the table that it read before."""
    store = Store(location)
    rows = [record(store, seed) for seed in "012"]
    append_row(store.backend, rows[0])
    write, others = Backend.write, [rows[2]]

    def suspended(backend, name, save):
        while others:
            append_row(store.backend, others.pop())
        write(backend, name, save)

    monkeypatch.setattr(Backend, "write", suspended)
    append_row(store.backend, rows[1])
    assert seeds(store.backend) == ["0", "1", "2"]


def test_a_table_that_lost_rows_is_completed_from_the_records(location):
    store = Store(location)
    for seed in "01":
        record(store, seed)
    store.backend.write("accuracy/ab/notes.txt", lambda path: path.write_text("mine"))
    store.backend.write(f"accuracy/ab/{'0' * 64}.json", lambda path: path.write_text("{"))
    append_row(store.backend, record(store, "2"))
    assert seeds(store.backend) == ["0", "1", "2"]


def test_many_processes_at_once_lose_no_row(location):
    store = Store(location)
    rows = [record(store, str(seed)) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda one: append_row(store.backend, one), rows))
    assert seeds(store.backend) == list("012345")


def test_the_validation_of_a_grid_of_one_point_is_computed_once_and_kept(small_network, tmp_path, monkeypatch):
    pairing, protocol = small_network, Protocol(2, 6, (1e-3,), (0.01,))
    regime = FullFineTuning(protocol)
    cache = CachedAccuracies(regime, Store(tmp_path / "store"), "cpu", NAMES)
    predicted = cache.predict_seconds(pairing)
    first = cache.with_validation(pairing, silent)
    assert first.chosen["validation"] == regime.validate(pairing, silent)
    assert "validation" not in cache(pairing, silent).chosen, "the accuracy itself is that of any run"
    monkeypatch.setattr(FullFineTuning, "validate", None)  # a second call would fail
    assert cache.with_validation(pairing, silent) == first
    assert predicted > 0.0
    assert cache.predict_seconds(pairing) == 0.0


@pytest.fixture
def small_network(dataset, tmp_path):
    """Return a network of the built-in pool on the images of three colours."""
    (candidate,) = builtin(("vit_shapes",)).candidates
    return NetworkOnImages(candidate, dataset, Extractor(Store(tmp_path / "store"), "cpu", 8, 0, silent))
