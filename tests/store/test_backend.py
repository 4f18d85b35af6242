"""Every kind of place keeps whole files, and has leases with one holder."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from s3fs import S3FileSystem

from transfer_exp.errors import InputError
from transfer_exp.io.atomic import digest
from transfer_exp.store import Store, open_backend
from transfer_exp.store.lock import Lease

KINDS = ["folder", "file", "memory", "s3"]
ROOT = Path(__file__).parents[2]
MISER = """
import sys
from transfer_exp.store import Store
def compute():
    print("computed", flush=True)
    import time; time.sleep(1)
    return {"value": 1}
assert Store(sys.argv[1]).record("kind", {"key": 1}, compute)[0] == {"value": 1}
"""


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    """Return where a store may be, in each of the ways there are."""
    match request.param:
        case "folder":
            return str(tmp_path / "store")
        case "file":
            return f"file://{tmp_path}/store"
        case "memory":
            return f"memory://{uuid4().hex}/store"
    return f"{request.getfixturevalue('s3')}/some/store"


def _never():
    raise AssertionError("computed what the store already has")


def _put(place, name, text):
    place.write(name, lambda path: path.write_text(text))


def _got(place, name):
    with place.reading(name) as path:
        return path.read_text()


def test_a_file_is_there_after_it_was_written_and_not_before_or_after(url):
    place = open_backend(url)
    assert not place.has("a/b")
    with pytest.raises(FileNotFoundError):
        _got(place, "a/b")
    for text in ("one", "other"):
        _put(place, "a/b", text)
        assert (place.has("a/b"), place.has("a"), _got(place, "a/b")) == (True, False, text)
    assert _got(place.below("a"), "b") == "other"
    place.remove("a/b")
    assert not place.has("a/b")
    place.remove("a/b")


def test_a_folder_goes_with_all_that_is_in_it_and_nothing_else(url):
    place = open_backend(url)
    for name in ("a/b/one", "a/b/two", "a/bc"):
        _put(place, name, "")
    place.remove("a/b")
    assert [place.has(name) for name in ("a/b/one", "a/b/two", "a/bc")] == [False, False, True]


def test_what_fails_half_way_leaves_what_was_there(url):
    place = open_backend(url)
    _put(place, "a", "whole")

    def half(path):
        path.write_text("ha")
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        place.write("a", half)
    assert _got(place, "a") == "whole"


def test_a_store_gives_back_what_was_put_there(url):
    store, arrays = Store(url), {"features": np.arange(6, dtype=np.float32).reshape(2, 3)}
    assert not store.has("features", {"a": 1})
    assert not store.arrays("features", {"a": 1}, lambda: arrays)[1]
    held, found = Store(url).arrays("features", {"a": 1}, _never)
    np.testing.assert_array_equal(held["features"], arrays["features"])
    assert found
    batches = list(store.batches("features", {"a": 1}, "features", 1))
    np.testing.assert_array_equal(np.concatenate(batches), held["features"])
    assert store.has("features", {"a": 1})
    assert not store.record("accuracy", {"a": 1}, lambda: {"value": 0.1 + 0.2})[1]
    assert store.record("accuracy", {"a": 1}, _never) == ({"value": 0.1 + 0.2}, True)


def test_a_damaged_file_is_computed_again(url, caplog):
    store, key = Store(url), {"a": 1}
    store.record("accuracy", key, lambda: {"value": 1})
    name = f"accuracy/{digest(key)[:2]}/{digest(key)}.json"
    _put(store.place, name, _got(store.place, name).replace('"value": 1', '"value": 2'))
    assert store.record("accuracy", key, lambda: {"value": 1}) == ({"value": 1}, False)
    assert "damaged" in caplog.text
    assert store.record("accuracy", key, _never) == ({"value": 1}, True)


def test_what_several_add_at_once_is_all_there(url):
    store = Store(url)
    assert store.gathered("scores", {"k": 1}) == {}
    adding = [threading.Thread(target=store.add, args=("scores", {"k": 1}, {f"n{i}": [i / 3]})) for i in range(4)]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    assert store.gathered("scores", {"k": 1}) == {f"n{i}": [i / 3] for i in range(4)}
    store.add("scores", {"k": 1}, {"n0": [7]})
    assert store.gathered("scores", {"k": 1})["n0"] == [7]
    assert store.gathered("scores", {"k": 2}) == {}


def test_what_is_gathered_in_a_damaged_file_begins_anew(url, caplog):
    store, key = Store(url), {"a": 1}
    store.add("scores", key, {"one": 1})
    name = f"scores/{digest(key)[:2]}/{digest(key)}.json"
    _put(store.place, name, _got(store.place, name).replace('"one": 1', '"one": 2'))
    assert store.gathered("scores", key) == {}
    assert "damaged, and begins anew" in caplog.text
    store.add("scores", key, {"two": 2})
    assert store.gathered("scores", key) == {"two": 2}


def test_one_thread_computes_and_the_others_wait(url):
    store, computed, values = Store(url), [], []

    def compute():
        computed.append(1)
        time.sleep(0.2)
        return {"value": 7}

    threads = [
        threading.Thread(target=lambda: values.append(store.record("kind", {"k": 1}, compute)[0])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (values, len(computed)) == ([{"value": 7}] * 4, 1)


def test_unfinished_work_has_a_place_of_its_own_until_it_is_forgotten(url):
    store = Store(url)
    mine, other = store.unfinished({"k": 1}), store.unfinished({"k": 2})
    _put(mine, "point0.pt", "half")
    _put(other, "point0.pt", "half")
    store.forget_unfinished({"k": 1})
    assert (mine.has("point0.pt"), other.has("point0.pt")) == (False, True)


def _lease(place, patience=0.3) -> Lease:
    return place.lease("a.lease", patience)


def test_a_lease_has_one_holder(url):
    place, inside, most = open_backend(url), [], []

    def work():
        with _lease(place, 60.0):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4
    assert not place.has("a.lease")


def test_a_lease_that_says_nothing_is_taken_by_who_waits(url):
    place = open_backend(url)
    _put(place, "a.lease", "elsewhere/1 1 abc 000000000\n")
    start = time.monotonic()
    with _lease(place):
        assert 0.3 <= time.monotonic() - start < 10
        assert "elsewhere" not in _got(place, "a.lease")


def test_a_holder_who_lives_keeps_it_beyond_anybodys_patience(url):
    place, taken = open_backend(url), threading.Event()

    def ask():
        with _lease(place, 0.4):
            taken.set()

    asker = threading.Thread(target=ask, daemon=True)
    with _lease(place, 0.4):
        asker.start()
        assert not taken.wait(1.2)
    assert taken.wait(10)
    asker.join()


def test_who_was_given_up_neither_renews_nor_gives_back_what_is_anothers(url):
    place = open_backend(url)
    first = _lease(place, 60.0)
    first.take()
    first._take_away(_got(place, "a.lease"))
    with _lease(place, 60.0):
        own = _got(place, "a.lease")
        with suppress(FileNotFoundError):
            first._renew("still here")
        assert _got(place, "a.lease") == own
        first.give_back()
        assert _got(place, "a.lease") == own


@pytest.mark.slow
def test_of_several_processes_one_computes_and_the_others_read(s3):
    workers = [
        subprocess.Popen([sys.executable, "-c", MISER, f"{s3}/store"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert sorted(said) == ["", "", "computed\n"]


def test_a_server_without_conditions_leaves_the_lease_to_who_put_it_last(monkeypatch):
    place, pipe = open_backend("memory://careless"), MemoryFileSystem.pipe_file
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", lambda self, path, value, mode="": pipe(self, path, value))
    one, other = _lease(place), _lease(place)
    assert one._made("one")
    place.remove("a.lease")
    assert other._made("other")
    assert not one._holds()
    assert other._holds()


@pytest.mark.parametrize(
    ("root", "told"),
    [
        ("nonsense://a", "cannot be used"),
        ("gs://bucket/a", "a package that is not installed"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_line(root, told):
    with pytest.raises(InputError, match=told):
        Store(root).has("a", {})


def test_a_bucket_that_is_not_there_is_one_line_that_keeps_the_secret(s3):
    store = Store("s3://absent-bucket/store")
    with pytest.raises(InputError, match="absent-bucket") as caught:
        store.record("a", {}, lambda: {})
    assert "planted-secret" not in str(caught.value)


def test_a_server_that_is_not_there_is_one_line(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    S3FileSystem.clear_instance_cache()
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    with pytest.raises(InputError, match=f"cannot use the store {s3}/a"):
        Store(f"{s3}/a").record("a", {}, _never)
