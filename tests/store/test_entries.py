"""Entries of a store are listed with their content, and removed unless a process works on them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from transfer_exp.errors import InputError
from transfer_exp.store import Lock, Store, open_backend
from transfer_exp.store.entries import KINDS, list_entries

KEY = {"model": {"architecture": "net"}, "images": "abc"}


@pytest.fixture
def full_store(store: Store) -> Store:
    """Return a store with one entry of every kind; the unfinished one belongs to the accuracy."""
    store.get_or_compute_arrays("features", KEY, lambda: {"features": np.ones((4, 2))})
    store.get_or_compute_record("cost", KEY, lambda: {"seconds": 1.0})
    store.update_record("scores", {**KEY, "names": {"metric": "logme"}}, {"logme": [0.5]})
    store.get_or_compute_record("accuracy", KEY, lambda: {"row": {"model": "mine"}})
    store.get_or_compute_record("validation", KEY, lambda: {"validation": 0.5})
    store.get_or_compute_record("inspection", KEY, lambda: {"findings": []})
    folder = Path(store.unfinished_backend(KEY).root)
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "state.pt").write_bytes(b"x" * 1000)
    (path,) = store.root.glob("features/*/*")
    path.with_name(f".{path.name}.{'0' * 32}").write_bytes(b"half")
    return store


def entry_of(store, kind):
    (entry,) = (entry for entry in list_entries(store.root) if entry.kind == kind)
    return entry


def lock_path(store, kind):
    """Return the lock under which the entry of a kind is written."""
    locked_kind = {"leftover": "features", "unfinished": "accuracy"}.get(kind, kind)
    (path,) = store.root.glob(f"{locked_kind}/*/[!.]*")
    return path.with_suffix(".lock")


def test_every_kind_is_listed_with_its_size_and_content(full_store):
    assert sorted(entry.kind for entry in list_entries(full_store.root)) == sorted(KINDS)
    features = entry_of(full_store, "features")
    assert features.size == features.path.stat().st_size
    assert features.content == {"key": KEY}
    assert entry_of(full_store, "accuracy").content["value"] == {"row": {"model": "mine"}}
    assert entry_of(full_store, "unfinished").size == 1000
    assert entry_of(full_store, "unfinished").content == entry_of(full_store, "leftover").content == {}
    assert entry_of(full_store, "leftover").size == 4


def test_a_folder_was_modified_when_its_newest_file_was(full_store):
    folder = entry_of(full_store, "unfinished").path
    for path in (folder, folder / "deep"):
        os.utime(path, (0, 0))
    assert time.time() - entry_of(full_store, "unfinished").modified < 60
    os.utime(folder / "deep" / "state.pt", (5, 5))
    assert entry_of(full_store, "unfinished").modified == 5


def test_files_that_the_store_did_not_write_are_ignored(full_store):
    count = len(list(list_entries(full_store.root)))
    (full_store.root / "accuracies.csv").write_text("model\n")
    for name in ("notes.json", "x.safetensors", f"{'a' * 64}.txt", f"{'a' * 64}.lock"):
        (full_store.root / "features" / "ab").mkdir(exist_ok=True)
        (full_store.root / "features" / "ab" / name).write_text("{}")
    assert len(list(list_entries(full_store.root))) == count


def test_the_lock_of_an_older_version_is_a_leftover(store):
    path = store.root / "features" / "aa" / f"{'a' * 64}.lease"
    path.parent.mkdir(parents=True)
    path.touch()
    assert [(entry.kind, entry.path) for entry in list_entries(store.root)] == [("leftover", path)]


def test_a_missing_store_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no store .*absent"):
        list(list_entries(tmp_path / "absent"))


def test_only_leftovers_of_an_intact_store_are_damaged(full_store):
    assert {kind: entry_of(full_store, kind).is_damaged() for kind in KINDS} == {
        "features": False,
        "cost": False,
        "scores": False,
        "accuracy": False,
        "validation": False,
        "inspection": False,
        "unfinished": False,
        "leftover": True,
    }


@pytest.mark.parametrize("kind", ["features", "accuracy"])
def test_an_entry_is_damaged_if_the_store_refuses_it(full_store, kind):
    path = entry_of(full_store, kind).path
    content = path.read_bytes()
    get = full_store.get_or_compute_arrays if kind == "features" else full_store.get_or_compute_record
    value = {"features": np.ones((4, 2))} if kind == "features" else {"row": {"model": "mine"}}
    for position in range(0, len(content), 11):
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        is_damaged = entry_of(full_store, kind).is_damaged()
        assert is_damaged == (not get(kind, KEY, lambda: value)[1])
        path.write_bytes(content)
    for damaged in (b"", b"[]", b"null", b"\xff", content[:-9], b'{"key": 3}', b"[" * 100_000):
        path.write_bytes(damaged)
        assert entry_of(full_store, kind).is_damaged()


def test_a_file_under_the_name_of_another_key_is_damaged(full_store):
    full_store.get_or_compute_record("accuracy", {"another": 1}, lambda: {"row": {}})
    first, second = full_store.root.glob("accuracy/*/*.json")
    first.write_bytes(second.read_bytes())
    damaged = [entry.is_damaged() for entry in list_entries(full_store.root) if entry.kind == "accuracy"]
    assert sorted(damaged) == [False, True]


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_is_removed_without_the_others(full_store, kind):
    entry = entry_of(full_store, kind)
    assert entry.remove()
    assert not entry.path.exists()
    assert sorted(entry.kind for entry in list_entries(full_store.root)) == sorted(set(KINDS) - {kind})
    assert not list(full_store.root.rglob("*.lock"))


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_in_use_is_not_removed(full_store, kind):
    entry, lock = entry_of(full_store, kind), lock_path(full_store, kind)
    with Lock(open_backend(lock.parent), lock.name):
        assert entry.is_in_use()
        assert not entry.remove()
        assert entry.path.exists()
    assert entry.remove()


def test_unfinished_work_is_in_use_while_a_point_of_its_grid_is_trained(full_store):
    entry = entry_of(full_store, "unfinished")
    with Lock(full_store.unfinished_backend(KEY), "point1.lock"):
        assert not entry.remove()
    assert entry.remove()


def test_a_lock_of_another_machine_holds_for_an_hour_without_renewal(full_store):
    entry, lock = entry_of(full_store, "unfinished"), lock_path(full_store, "unfinished")
    lock.write_text("other-machine/1 1 abc 000000000\n")
    assert not entry.remove()
    assert lock.exists()
    os.utime(lock, (time.time() - 4000,) * 2)
    assert not entry.is_in_use()
    assert entry.remove()


def test_a_lock_of_a_dead_process_of_this_machine_holds_nothing(full_store):
    entry, path = entry_of(full_store, "accuracy"), lock_path(full_store, "accuracy")
    with Lock(open_backend(path.parent), path.name):
        text = path.read_text()
    path.write_text(text.replace(f" {os.getpid()} ", " 999999999 "))
    assert not entry.is_in_use()
    assert entry.remove()
    assert not path.exists()
