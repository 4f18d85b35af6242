"""A store returns what was saved under a key, and computes damaged values again."""

from __future__ import annotations

import errno
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_exp.errors import InputError
from transfer_exp.io.atomic import digest, write_atomically
from transfer_exp.store import Store
from transfer_exp.store.store import _KeyFile

PLAIN_DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def fail_to_compute():
    raise AssertionError("computed a cached value")


def test_arrays_are_computed_once(store: Store):
    arrays = {"features": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    first, was_cached = store.get_or_compute_arrays("features", {"a": 1}, lambda: arrays)
    assert not was_cached
    second, was_cached = store.get_or_compute_arrays("features", {"a": 1}, fail_to_compute)
    assert was_cached
    np.testing.assert_array_equal(first["features"], second["features"])
    assert second["features"].dtype == np.float32


def test_a_record_is_returned_exactly(store: Store):
    value = {"value": 0.1 + 0.2, "source": "us", "chosen": {"lr": 1e-3}}
    store.get_or_compute_record("accuracy", {"b": 2}, lambda: value)
    assert store.get_or_compute_record("accuracy", {"b": 2}, fail_to_compute) == (value, True)


def test_another_key_has_another_value(store: Store):
    store.get_or_compute_record("accuracy", {"seed": 0}, lambda: {"value": 0})
    assert store.get_or_compute_record("accuracy", {"seed": 1}, lambda: {"value": 1}) == ({"value": 1}, False)


def flip_a_bit(path: Path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


DAMAGES = [lambda p: p.write_bytes(b""), lambda p: p.write_bytes(p.read_bytes()[:-9]), flip_a_bit]


@pytest.mark.parametrize("damage", DAMAGES, ids=["empty", "truncated", "flipped"])
def test_a_damaged_file_is_logged_and_computed_again(store: Store, damage, caplog):
    compute = lambda: {"features": np.ones((4, 2))}  # noqa: E731
    store.get_or_compute_arrays("features", {}, compute)
    (path,) = store.root.rglob("*.safetensors")
    damage(path)
    arrays, was_cached = store.get_or_compute_arrays("features", {}, compute)
    assert not was_cached
    np.testing.assert_array_equal(arrays["features"], np.ones((4, 2)))
    assert "damaged" in caplog.text
    assert store.get_or_compute_arrays("features", {}, fail_to_compute)[1]


def flip_each_byte(path: Path):
    """Yield the position of every byte of a file while one of its bits is flipped."""
    content = path.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        yield position
    path.write_bytes(content)


@pytest.mark.slow
def test_no_flipped_bit_of_a_record_changes_its_value(store: Store):
    value = {"accuracy": 0.5, "n": [1, 2]}
    store.get_or_compute_record("accuracy", {"model": "a"}, lambda: value)
    (path,) = store.root.rglob("*.json")
    refused = 0
    for _ in flip_each_byte(path):
        loaded, was_cached = store.get_or_compute_record("accuracy", {"model": "a"}, lambda: value)
        assert loaded == value
        refused += not was_cached
    assert refused > path.stat().st_size / 2, "most bits matter"


@pytest.mark.slow
def test_no_flipped_bit_of_arrays_changes_a_number(store: Store):
    arrays = {"features": np.arange(6.0).reshape(3, 2), "z": np.ones(2, dtype=np.float32)}
    store.get_or_compute_arrays("features", {"m": 1}, lambda: arrays)
    (path,) = store.root.rglob("*.safetensors")
    for _ in flip_each_byte(path):
        try:
            streamed = np.concatenate(list(store.iter_batches("features", {"m": 1}, "features", 2)))
        except (ValueError, KeyError):
            streamed = arrays["features"]
        np.testing.assert_array_equal(streamed, arrays["features"])
        loaded, _ = store.get_or_compute_arrays("features", {"m": 1}, lambda: arrays)
        np.testing.assert_array_equal(loaded["features"], arrays["features"])


def test_a_file_with_the_content_of_another_key_is_refused(store: Store):
    for key, value in (({"k": 1}, 1.0), ({"k": 2}, 2.0)):
        store.get_or_compute_arrays("features", key, lambda value=value: {"features": np.full((2, 2), value)})
        store.get_or_compute_record("accuracy", key, lambda value=value: {"value": value})
    for suffix in ("safetensors", "json"):
        first, second = store.root.rglob(f"*.{suffix}")
        first.write_bytes(second.read_bytes())
    for k in (1, 2):
        assert store.get_or_compute_record("accuracy", {"k": k}, lambda k=k: {"value": k})[0]["value"] == k
        arrays = {"features": np.full((2, 2), float(k))}
        loaded, _ = store.get_or_compute_arrays("features", {"k": k}, lambda arrays=arrays: arrays)
        assert loaded["features"][0, 0] == k


def test_a_cached_value_is_read_without_a_lock(store: Store, monkeypatch):
    store.get_or_compute_record("accuracy", {}, lambda: {"value": 1})
    monkeypatch.setattr("transfer_exp.store.store.Lock", None)
    assert store.get_or_compute_record("accuracy", {}, fail_to_compute) == ({"value": 1}, True)
    assert [path.suffix for path in store.root.rglob("*") if path.is_file()] == [".json"], "no lock is left behind"


def test_a_full_disk_is_one_line_and_leaves_no_file(store: Store, monkeypatch):
    def refuse(self, text, *rest, **options):
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(InputError, match=r"cannot use the store .* \(No space left on device\): check space"):
        store.get_or_compute_record("accuracy", {}, lambda: {"value": 1})
    assert not [path for path in store.root.rglob("*") if path.is_file()]


@given(st.dictionaries(st.text(), PLAIN_DATA, max_size=4))
def test_the_digest_depends_on_everything_but_the_order_of_keys(key):
    assert digest(key) == digest(dict(reversed(list(key.items()))))
    assert digest({**key, "one more": 1}) != digest(key)


def test_a_failed_write_leaves_the_old_file_only(tmp_path: Path):
    path = tmp_path / "value.json"
    path.write_text("old")

    def fail(temporary: Path):
        temporary.write_text("half of the n")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]


def test_one_of_many_threads_computes(store: Store):
    calls = []

    def compute():
        calls.append(1)
        return {"value": len(calls)}

    workers = [threading.Thread(target=lambda: store.get_or_compute_record("accuracy", {}, compute)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(calls) == 1


@pytest.mark.skipif(os.name == "nt", reason="needs a path that cannot be a folder")
def test_a_store_that_cannot_be_written_names_the_setting(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="set store="):
        Store(tmp_path / "file" / "store").get_or_compute_record("accuracy", {}, dict)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("rows", [1, 4, 7, 100])
def test_batches_are_consecutive_rows_of_the_array(store: Store, dtype, rows):
    arrays = {"a": np.ones((3, 2)), "features": np.arange(14).reshape(7, 2).astype(dtype), "z": np.ones(5)}
    store.get_or_compute_arrays("features", {"b": 1}, lambda: arrays)
    batches = list(store.iter_batches("features", {"b": 1}, "features", rows))
    assert {len(batch) for batch in batches[:-1]} <= {rows}
    assert batches[0].dtype == dtype
    np.testing.assert_array_equal(np.concatenate(batches), arrays["features"])


def test_batches_of_missing_or_damaged_files_are_refused(store: Store):
    with pytest.raises(OSError, match="No such file"):
        next(store.iter_batches("features", {"b": 2}, "features", 4))
    store.get_or_compute_arrays("features", {"b": 2}, lambda: {"features": np.ones((8, 2))})
    with pytest.raises(KeyError):
        next(store.iter_batches("features", {"b": 2}, "missing", 4))
    path = next(store.root.rglob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"[Hh]eader|digest"):
        list(store.iter_batches("features", {"b": 2}, "features", 4))
    path.write_bytes(b"\x08\0\0\0\0\0\0\0nothing!")
    with pytest.raises(ValueError, match="header"):
        next(store.iter_batches("features", {"b": 2}, "features", 4))


@pytest.mark.parametrize(
    "content", ["[]", "3", "null", '{"value": 1}', '{"value": 1, "key": 2, "sha256": 3}', "[" * 100000]
)
def test_an_invalid_record_is_computed_again(store: Store, content):
    store.get_or_compute_record("accuracy", {}, lambda: {"value": 1})
    (path,) = store.root.rglob("*.json")
    path.write_text(content)
    assert store.get_or_compute_record("accuracy", {}, lambda: {"value": 1}) == ({"value": 1}, False)


@pytest.mark.parametrize("kind", ["fifo", "link to a device", "dangling link"])
def test_a_file_that_is_not_regular_is_replaced_and_never_opened(store, kind):
    path = Path(store.root) / _KeyFile("kind", {"n": 1}, ".json").name
    path.parent.mkdir(parents=True)
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if "device" in kind else "nothing")
    assert store.get_or_compute_record("kind", {"n": 1}, lambda: {"a": 1}) == ({"a": 1}, False)
    assert store.get_or_compute_record("kind", {"n": 1}, lambda: {"a": 2}) == ({"a": 1}, True)


def test_a_folder_in_the_place_of_a_file_is_named_before_any_work(store):
    path = Path(store.root) / _KeyFile("kind", {"n": 1}, ".json").name
    path.mkdir(parents=True)
    message = f"{re.escape(str(path))} is a folder where the store needs a file: remove it"
    with pytest.raises(InputError, match=message):
        store.get_or_compute_record("kind", {"n": 1}, lambda: pytest.fail("computed"))
    with pytest.raises(InputError, match=message):
        store.update_record("kind", {"n": 1}, {"a": 1})
    path.rmdir()
    assert store.get_or_compute_record("kind", {"n": 1}, lambda: {"a": 1}) == ({"a": 1}, False)


def test_a_file_that_may_not_be_read_is_not_called_damaged(store, monkeypatch):
    store.get_or_compute_record("kind", {"n": 1}, lambda: {"a": 1})

    def deny(path, flags):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("transfer_exp.io.text.os.open", deny)
    with pytest.raises(InputError, match=r"cannot use the store .* \(Permission denied\)"):
        store.get_or_compute_record("kind", {"n": 1}, lambda: {"a": 2})


def test_the_digests_of_a_kind_are_those_of_its_keys(store: Store):
    assert store.digests("features") == set()
    store.save_arrays("features", {"a": 1}, {"features": np.eye(2)})
    store.update_record("features", {"b": 2}, {"value": 1})
    store.update_record("accuracy", {"c": 3}, {"value": 1})
    assert store.digests("features") == {digest({"a": 1}), digest({"b": 2})}
    with store._lock(_KeyFile("features", {"d": 4}, ".json")):
        assert digest({"d": 4}) not in store.digests("features"), "a lock is not a value"
