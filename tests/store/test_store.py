"""The store: what was put under a key comes back, unless it was damaged."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_exp.errors import InputError
from transfer_exp.io.atomic import digest, write_atomically
from transfer_exp.store import Store

_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def _never():
    raise AssertionError("computed what the store already has")


def test_arrays_come_back_without_being_computed_again(store: Store):
    arrays = {"features": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    first, found = store.arrays("features", {"a": 1}, lambda: arrays)
    assert not found
    second, found = store.arrays("features", {"a": 1}, _never)
    assert found
    np.testing.assert_array_equal(first["features"], second["features"])
    assert second["features"].dtype == np.float32


def test_a_record_comes_back_exactly(store: Store):
    value = {"value": 0.1 + 0.2, "source": "us", "chosen": {"lr": 1e-3}}
    store.record("accuracy", {"b": 2}, lambda: value)
    assert store.record("accuracy", {"b": 2}, _never) == (value, True)


def test_another_key_is_another_value(store: Store):
    store.record("accuracy", {"seed": 0}, lambda: {"value": 0})
    assert store.record("accuracy", {"seed": 1}, lambda: {"value": 1}) == ({"value": 1}, False)


def _flipped(path: Path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


DAMAGES = [lambda p: p.write_bytes(b""), lambda p: p.write_bytes(p.read_bytes()[:-9]), _flipped]


@pytest.mark.parametrize("damage", DAMAGES, ids=["empty", "torn", "flipped"])
def test_a_damaged_file_is_said_and_computed_again(store: Store, damage, caplog):
    compute = lambda: {"features": np.ones((4, 2))}  # noqa: E731
    store.arrays("features", {}, compute)
    (path,) = store.root.rglob("*.safetensors")
    damage(path)
    arrays, found = store.arrays("features", {}, compute)
    assert not found
    np.testing.assert_array_equal(arrays["features"], np.ones((4, 2)))
    assert "damaged" in caplog.text
    assert store.arrays("features", {}, _never)[1]


def _flips(path: Path):
    """Yield the place of every byte of a file, each once while one of its bits is turned."""
    content = path.read_bytes()
    for place in range(len(content)):
        spoiled = bytearray(content)
        spoiled[place] ^= 1 << place % 8
        path.write_bytes(spoiled)
        yield place
    path.write_bytes(content)


def test_no_turned_bit_of_a_record_gives_another_value(store: Store):
    value = {"accuracy": 0.5, "n": [1, 2]}
    store.record("accuracy", {"model": "a"}, lambda: value)
    (path,) = store.root.rglob("*.json")
    refused = 0
    for _ in _flips(path):
        found, was_there = store.record("accuracy", {"model": "a"}, lambda: value)
        assert found == value
        refused += not was_there
    assert refused > path.stat().st_size / 2, "most bits matter"


def test_no_turned_bit_of_arrays_gives_other_numbers(store: Store):
    arrays = {"features": np.arange(6.0).reshape(3, 2), "z": np.ones(2, dtype=np.float32)}
    store.arrays("features", {"m": 1}, lambda: arrays)
    (path,) = store.root.rglob("*.safetensors")
    for _ in _flips(path):
        try:
            read = np.concatenate(list(store.batches("features", {"m": 1}, "features", 2)))
        except (ValueError, KeyError):
            read = arrays["features"]
        np.testing.assert_array_equal(read, arrays["features"])
        found, _ = store.arrays("features", {"m": 1}, lambda: arrays)
        np.testing.assert_array_equal(found["features"], arrays["features"])


def test_a_file_under_the_name_of_another_key_is_refused(store: Store):
    for key, value in (({"k": 1}, 1.0), ({"k": 2}, 2.0)):
        store.arrays("features", key, lambda value=value: {"features": np.full((2, 2), value)})
        store.record("accuracy", key, lambda value=value: {"value": value})
    for ending in ("safetensors", "json"):
        first, second = store.root.rglob(f"*.{ending}")
        first.write_bytes(second.read_bytes())
    assert [store.record("accuracy", {"k": k}, lambda k=k: {"value": k})[0]["value"] for k in (1, 2)] == [1, 2]
    for k in (1, 2):
        found, _ = store.arrays("features", {"k": k}, lambda k=k: {"features": np.full((2, 2), float(k))})
        assert found["features"][0, 0] == k


def test_what_is_there_is_read_without_a_lease(store: Store, monkeypatch):
    store.record("accuracy", {}, lambda: {"value": 1})
    monkeypatch.setattr("transfer_exp.store.backend.FileLease", None)
    assert store.record("accuracy", {}, _never) == ({"value": 1}, True)
    assert [path.suffix for path in store.root.rglob("*") if path.is_file()] == [".json"], "no lease is left behind"


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(store: Store, monkeypatch):
    def full(path, *rest):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("transfer_exp.store.store.save_arrays", full)
    with pytest.raises(InputError, match=r"cannot write to the store .* \(No space left on device\): make room"):
        store.arrays("features", {}, lambda: {"features": np.ones((2, 2))})
    assert not [path for path in store.root.rglob("*") if path.is_file()]


@given(st.dictionaries(st.text(), _PLAIN, max_size=4))
def test_the_digest_ignores_the_order_of_keys_and_nothing_else(key):
    assert digest(key) == digest(dict(reversed(list(key.items()))))
    assert digest({**key, "one more": 1}) != digest(key)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path):
    path = tmp_path / "value.json"
    path.write_text("old")

    def broken(temporary: Path):
        temporary.write_text("half of the n")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, broken)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]


def test_of_many_askers_one_computes(store: Store):
    calls = []

    def compute():
        calls.append(1)
        return {"value": len(calls)}

    workers = [threading.Thread(target=lambda: store.record("accuracy", {}, compute)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(calls) == 1


@pytest.mark.skipif(os.name == "nt", reason="needs a path that cannot be a folder")
def test_a_store_that_cannot_be_written_says_what_to_set(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="set store="):
        Store(tmp_path / "file" / "store").record("accuracy", {}, dict)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("rows", [1, 4, 7, 100])
def test_batches_are_the_array_in_pieces(store: Store, dtype, rows):
    arrays = {"a": np.ones((3, 2)), "features": np.arange(14).reshape(7, 2).astype(dtype), "z": np.ones(5)}
    store.arrays("features", {"b": 1}, lambda: arrays)
    pieces = list(store.batches("features", {"b": 1}, "features", rows))
    assert {len(piece) for piece in pieces[:-1]} <= {rows}
    assert pieces[0].dtype == dtype
    np.testing.assert_array_equal(np.concatenate(pieces), arrays["features"])


def test_batches_of_what_is_absent_or_damaged_are_refused(store: Store):
    with pytest.raises(OSError, match="No such file"):
        next(store.batches("features", {"b": 2}, "features", 4))
    store.arrays("features", {"b": 2}, lambda: {"features": np.ones((8, 2))})
    with pytest.raises(KeyError):
        next(store.batches("features", {"b": 2}, "other", 4))
    path = next(store.root.rglob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"[Hh]eader|not what"):
        list(store.batches("features", {"b": 2}, "features", 4))
    path.write_bytes(b"\x08\0\0\0\0\0\0\0nothing!")
    with pytest.raises(ValueError, match="header"):
        next(store.batches("features", {"b": 2}, "features", 4))


@pytest.mark.parametrize(
    "content", ["[]", "3", "null", '{"value": 1}', '{"value": 1, "key": 2, "sha256": 3}', "[" * 100000]
)
def test_a_record_that_is_no_record_is_computed_again(store: Store, content):
    store.record("accuracy", {}, lambda: {"value": 1})
    (path,) = store.root.rglob("*.json")
    path.write_text(content)
    assert store.record("accuracy", {}, lambda: {"value": 1}) == ({"value": 1}, False)
