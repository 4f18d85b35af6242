"""The store: what was put under a key comes back, unless it was damaged."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_exp.store import Store, digest, write_atomically
from transfer_exp.types import InputError

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


@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(b""), lambda p: p.write_bytes(p.read_bytes()[:-9])])
def test_a_damaged_file_is_computed_again(store: Store, damage, caplog):
    compute = lambda: {"features": np.ones((4, 2))}  # noqa: E731
    store.arrays("features", {}, compute)
    (path,) = store.root.rglob("*.safetensors")
    damage(path)
    arrays, found = store.arrays("features", {}, compute)
    assert not found
    np.testing.assert_array_equal(arrays["features"], np.ones((4, 2)))
    assert "damaged" in caplog.text


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
    with pytest.raises(ValueError, match="as long"):
        list(store.batches("features", {"b": 2}, "features", 4))
    path.write_bytes(b"\x08\0\0\0\0\0\0\0nothing!")
    with pytest.raises(ValueError, match="Expecting"):
        next(store.batches("features", {"b": 2}, "features", 4))
