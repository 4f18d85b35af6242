"""A folder, a URL of a folder, an object store in memory and S3 keep files alike, and locks have one holder there."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from s3fs import S3FileSystem

from transfer_exp.errors import InputError
from transfer_exp.io.atomic import digest
from transfer_exp.store import Lock, Store, open_backend

pytestmark = pytest.mark.slow

KINDS = ["folder", "file", "memory", "s3"]
ROOT = Path(__file__).parents[2]
COMPUTE_SLOWLY = """
import sys
from transfer_exp.store import Store
def compute():
    print("computed", flush=True)
    import time; time.sleep(1)
    return {"value": 1}
assert Store(sys.argv[1]).get_or_compute_record("kind", {"key": 1}, compute)[0] == {"value": 1}
"""


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    """Return the location of an empty store of each kind."""
    match request.param:
        case "folder":
            return str(tmp_path / "store")
        case "file":
            return f"file://{tmp_path}/store"
        case "memory":
            return f"memory://{uuid4().hex}/store"
    return f"{request.getfixturevalue('s3')}/some/store"


def fail_to_compute():
    raise AssertionError("computed a cached value")


def write(backend, name, text):
    backend.write(name, lambda path: path.write_text(text))


def read(backend, name):
    with backend.local_file(name) as path:
        return path.read_text()


def run_threads(function, count=4):
    threads = [threading.Thread(target=function, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_file_exists_from_writing_to_removing(url):
    backend = open_backend(url)
    assert not backend.exists("a/b")
    assert backend.read("a/b") is None
    with pytest.raises(FileNotFoundError):
        read(backend, "a/b")
    for text in ("old", "new"):
        write(backend, "a/b", text)
        assert (backend.exists("a/b"), backend.exists("a")) == (True, False)
        assert read(backend, "a/b") == backend.read("a/b") == text
    assert read(backend.subfolder("a"), "b") == "new"
    backend.remove("a/b")
    assert not backend.exists("a/b")
    backend.remove("a/b")


def test_a_folder_is_removed_with_its_content_only(url):
    backend = open_backend(url)
    for name in ("a/b/first", "a/b/second", "a/bc"):
        write(backend, name, "")
    backend.remove("a/b")
    assert [backend.exists(name) for name in ("a/b/first", "a/b/second", "a/bc")] == [False, False, True]


def test_a_failed_write_leaves_the_old_file(url):
    backend = open_backend(url)
    write(backend, "a", "old")

    def fail(path):
        path.write_text("ne")
        raise RuntimeError("failed")

    with pytest.raises(RuntimeError, match="failed"):
        backend.write("a", fail)
    assert read(backend, "a") == "old"


def test_creating_a_file_that_exists_changes_nothing(url):
    backend = open_backend(url)
    assert backend.create("a/b", "first")
    assert not backend.create("a/b", "second")
    assert backend.read("a/b") == "first"


def test_a_store_returns_what_was_saved(url):
    store, arrays = Store(url), {"features": np.arange(6, dtype=np.float32).reshape(2, 3)}
    assert not store.has("features", {"a": 1})
    assert not store.get_or_compute_arrays("features", {"a": 1}, lambda: arrays)[1]
    cached, was_cached = Store(url).get_or_compute_arrays("features", {"a": 1}, fail_to_compute)
    np.testing.assert_array_equal(cached["features"], arrays["features"])
    assert was_cached
    batches = list(store.iter_batches("features", {"a": 1}, "features", 1))
    np.testing.assert_array_equal(np.concatenate(batches), arrays["features"])
    assert store.has("features", {"a": 1})
    assert not store.get_or_compute_record("accuracy", {"a": 1}, lambda: {"value": 0.1 + 0.2})[1]
    assert store.get_or_compute_record("accuracy", {"a": 1}, fail_to_compute) == ({"value": 0.1 + 0.2}, True)


def test_a_damaged_file_is_computed_again(url, caplog):
    store, key = Store(url), {"a": 1}
    store.get_or_compute_record("accuracy", key, lambda: {"value": 1})
    name = f"accuracy/{digest(key)[:2]}/{digest(key)}.json"
    write(store.backend, name, read(store.backend, name).replace('"value": 1', '"value": 2'))
    assert store.get_or_compute_record("accuracy", key, lambda: {"value": 1}) == ({"value": 1}, False)
    assert caplog.text.count("damaged and counts as missing") == 1
    assert store.get_or_compute_record("accuracy", key, fail_to_compute) == ({"value": 1}, True)


def test_concurrent_updates_of_a_record_are_all_merged(url):
    store = Store(url)
    assert store.read_record("scores", {"k": 1}) == {}
    run_threads(lambda number: store.update_record("scores", {"k": 1}, {f"n{number}": [number / 3]}))
    assert store.read_record("scores", {"k": 1}) == {f"n{number}": [number / 3] for number in range(4)}
    store.update_record("scores", {"k": 1}, {"n0": [7]})
    assert store.read_record("scores", {"k": 1})["n0"] == [7]
    assert store.read_record("scores", {"k": 2}) == {}


def test_a_damaged_record_is_empty_and_can_be_updated(url, caplog):
    store, key = Store(url), {"a": 1}
    store.update_record("scores", key, {"old": 1})
    name = f"scores/{digest(key)[:2]}/{digest(key)}.json"
    write(store.backend, name, read(store.backend, name).replace('"old": 1', '"old": 2'))
    assert store.read_record("scores", key) == {}
    assert "damaged and counts as missing" in caplog.text
    store.update_record("scores", key, {"new": 2})
    assert store.read_record("scores", key) == {"new": 2}


def test_one_thread_computes_and_the_others_wait(url):
    store, computed, values = Store(url), [], []

    def compute():
        computed.append(1)
        time.sleep(0.2)
        return {"value": 7}

    run_threads(lambda _: values.append(store.get_or_compute_record("kind", {"k": 1}, compute)[0]))
    assert (values, len(computed)) == ([{"value": 7}] * 4, 1)


def test_unfinished_work_on_a_key_is_removed_without_that_on_other_keys(url):
    store = Store(url)
    first, second = store.unfinished_backend({"k": 1}), store.unfinished_backend({"k": 2})
    write(first, "point0.pt", "half")
    write(second, "point0.pt", "half")
    store.remove_unfinished({"k": 1})
    assert (first.exists("point0.pt"), second.exists("point0.pt")) == (False, True)


def test_a_lock_has_one_holder(url):
    backend, holders, counts = open_backend(url), [], []

    def work(_):
        with Lock(backend, "a.lock"):
            holders.append(1)
            counts.append(len(holders))
            time.sleep(0.02)
            holders.pop()

    run_threads(work)
    assert counts == [1] * 4
    assert not backend.exists("a.lock")


def test_a_lock_without_renewal_is_broken(url):
    backend = open_backend(url)
    write(backend, "a.lock", "other-machine/1 1 abc 000000000\n")
    begin = time.monotonic()
    with Lock(backend, "a.lock", 0.3):
        assert 0.3 <= time.monotonic() - begin < 10
        assert "other-machine" not in read(backend, "a.lock")


def test_a_living_holder_keeps_the_lock_beyond_the_timeout(url):
    backend, acquired = open_backend(url), threading.Event()

    def wait_for_lock():
        with Lock(backend, "a.lock", 0.4):
            acquired.set()

    waiter = threading.Thread(target=wait_for_lock, daemon=True)
    with Lock(backend, "a.lock", 0.4):
        waiter.start()
        assert not acquired.wait(1.2)
    assert acquired.wait(10)
    waiter.join()


def test_a_former_holder_does_not_release_the_lock_of_the_next_one(url):
    backend = open_backend(url)
    former = Lock(backend, "a.lock")
    former.acquire()
    backend.remove("a.lock")
    with Lock(backend, "a.lock"):
        text = read(backend, "a.lock")
        former.release()
        assert read(backend, "a.lock") == text


def test_one_of_two_processes_computes_and_the_other_reads(s3):
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", COMPUTE_SLOWLY, f"{s3}/store"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    outputs = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted(outputs) == ["", "computed\n"]


def test_without_conditional_puts_the_last_writer_has_created_the_file(monkeypatch):
    backend, pipe_file = open_backend(f"memory://{uuid4().hex}"), MemoryFileSystem.pipe_file

    def overwritten_at_once(self, path, value, mode=""):
        pipe_file(self, path, value)
        pipe_file(self, path, b"another process")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", overwritten_at_once)
    assert not backend.create("a.lock", "this process")


@pytest.mark.parametrize("location", ["nonsense://a", "gs://bucket/a"])
def test_a_url_that_cannot_be_used_is_one_line(location):
    with pytest.raises(InputError, match=r"cannot be used \(.+\): install its package, or set store=FOLDER"):
        Store(location).has("a", {})


def test_a_chain_of_file_systems_is_refused_before_its_files_are_read(tmp_path):
    file = tmp_path / "evil.json"
    file.write_text('{"version": 1, "templates": {"u": "{{ cycler.__init__ }}"}, "refs": {"a": ["{{u}}"]}}')
    for url in (f"reference::file://{file}", f"filecache::file://{file}", "simplecache::s3://bucket/x"):
        with pytest.raises(InputError, match="chains several file systems: set store to a folder, or the URL of one"):
            open_backend(url)


def test_a_missing_bucket_is_one_line_without_the_secret_key(s3):
    store = Store("s3://absent-bucket/store")
    with pytest.raises(InputError, match="absent-bucket") as caught:
        store.get_or_compute_record("a", {}, lambda: {})
    assert "planted-secret" not in str(caught.value)


def test_an_unreachable_server_is_one_line(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(S3FileSystem, "_cache", {})  # a client keeps the address that it was created with
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    with pytest.raises(InputError, match=f"cannot use the store {s3}/a"):
        Store(f"{s3}/a").get_or_compute_record("a", {}, fail_to_compute)
