"""What a store holds is told as it is, and removed only where nobody works on it."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from transfer_exp.errors import InputError
from transfer_exp.store import FileLease, Store
from transfer_exp.store.entries import KINDS, entries

KEY = {"model": {"architecture": "net"}, "images": "abc"}


@pytest.fixture
def full(store: Store) -> Store:
    """Return a store with one entry of every kind; the unfinished one belongs to the record."""
    store.arrays("features", KEY, lambda: {"features": np.ones((4, 2))})
    store.add("scores", {**KEY, "names": {"metric": "logme"}}, {"one": [0.5]})
    store.record("accuracy", KEY, lambda: {"row": {"model": "mine"}})
    work = store.unfinished(KEY).root
    (work / "deep").mkdir(parents=True)
    (work / "deep" / "state.pt").write_bytes(b"x" * 1000)
    (path,) = store.root.glob("features/*/*")
    path.with_name(f".{path.name}.{'0' * 32}").write_bytes(b"half")
    return store


def of(store, kind):
    (found,) = (entry for entry in entries(store.root) if entry.kind == kind)
    return found


def test_every_kind_is_listed_with_its_size_and_what_it_is_of(full):
    found = list(entries(full.root))
    assert sorted(entry.kind for entry in found) == sorted(KINDS)
    features = of(full, "features")
    assert features.bytes == features.path.stat().st_size
    assert features.content == {"key": KEY}
    assert of(full, "accuracy").content["value"] == {"row": {"model": "mine"}}
    assert of(full, "unfinished").bytes == 1000
    assert of(full, "unfinished").content == of(full, "leftover").content == {}
    assert of(full, "leftover").bytes == 4


def test_a_folder_is_as_old_as_the_newest_in_it(full):
    work = of(full, "unfinished").path
    for place in (work, work / "deep"):
        os.utime(place, (0, 0))
    assert time.time() - of(full, "unfinished").changed < 60
    os.utime(work / "deep" / "state.pt", (5, 5))
    assert of(full, "unfinished").changed == 5


def test_what_is_not_the_stores_is_passed_over(full):
    before = len(list(entries(full.root)))
    (full.root / "accuracies.csv").write_text("model\n")
    for name in ("notes.json", "x.safetensors", f"{'a' * 64}.txt", f"{'a' * 64}.lease"):
        (full.root / "features" / "ab").mkdir(exist_ok=True)
        (full.root / "features" / "ab" / name).write_text("{}")
    assert len(list(entries(full.root))) == before


def test_no_store_is_told(tmp_path):
    with pytest.raises(InputError, match=r"no store .*absent"):
        list(entries(tmp_path / "absent"))


def test_whole_files_are_not_damaged_and_half_written_ones_are(full):
    assert {kind: of(full, kind).is_damaged() for kind in KINDS} == {
        "features": False,
        "scores": False,
        "accuracy": False,
        "unfinished": False,
        "leftover": True,
    }


@pytest.mark.parametrize("kind", ["features", "accuracy"])
def test_damage_is_what_the_store_itself_refuses(full, kind):
    path = of(full, kind).path
    whole = path.read_bytes()
    ask = full.arrays if kind == "features" else full.record
    value = {"features": np.ones((4, 2))} if kind == "features" else {"row": {"model": "mine"}}
    for place in range(0, len(whole), 11):
        spoiled = bytearray(whole)
        spoiled[place] ^= 1
        path.write_bytes(spoiled)
        said = of(full, kind).is_damaged()
        assert said == (not ask(kind, KEY, lambda: value)[1])
        path.write_bytes(whole)
    for content in (b"", b"[]", b"null", b"\xff", whole[:-9], b'{"key": 3}', b"[" * 100_000):
        path.write_bytes(content)
        assert of(full, kind).is_damaged()


def test_a_file_under_the_name_of_another_key_is_damaged(full):
    full.record("accuracy", {"other": 1}, lambda: {"row": {}})
    first, second = full.root.glob("accuracy/*/*.json")
    first.write_bytes(second.read_bytes())
    assert sorted(entry.is_damaged() for entry in entries(full.root) if entry.kind == "accuracy") == [False, True]


@pytest.mark.parametrize("kind", KINDS)
def test_what_nobody_works_on_is_removed_and_nothing_else(full, kind):
    entry = of(full, kind)
    assert entry.remove()
    assert not entry.path.exists()
    assert sorted(one.kind for one in entries(full.root)) == sorted(set(KINDS) - {kind})
    assert not list(full.root.rglob("*.lease"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_worked_on_stays(full, kind):
    entry = of(full, kind)
    worked_on = {"leftover": "features", "unfinished": "accuracy"}.get(kind, kind)
    (file,) = full.root.glob(f"{worked_on}/*/[!.]*")
    with FileLease(file.with_suffix(".lease")):
        assert entry.lease.is_held()
        assert not entry.remove()
        assert entry.path.exists()
    assert entry.remove()


def test_a_lease_of_another_machine_holds_for_an_hour_of_silence(full):
    entry = of(full, "unfinished")
    entry.lease.path.write_text("elsewhere/1 1 abc 000000000\n")
    assert not entry.remove()
    assert entry.lease.path.exists()
    os.utime(entry.lease.path, (time.time() - 4000,) * 2)
    assert not entry.lease.is_held()
    assert entry.remove()


def test_a_lease_of_a_dead_process_of_this_machine_holds_nothing(full, monkeypatch):
    entry = of(full, "accuracy")
    lease = FileLease(entry.lease.path)
    entry.lease.path.write_text(lease._said(0).replace(f" {os.getpid()} ", " 999999999 "))
    assert not entry.lease.is_held()
    assert entry.remove()
