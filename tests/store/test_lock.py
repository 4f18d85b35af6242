"""A lock has one holder at a time, and the lock of a dead holder is broken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from transfer_exp.errors import InputError
from transfer_exp.store import Lock, open_backend

ROOT = Path(__file__).parents[2]
OTHER_MACHINE = "other-machine/1 1 abc 000000000\n"
COUNT = """
import sys
from pathlib import Path
from transfer_exp.store import Lock, open_backend
folder = Path(sys.argv[1])
for _ in range(20):
    with Lock(open_backend(folder), "a.lock"):
        total = int((folder / "total").read_text())
        (folder / "total").write_text(str(total + 1))
"""
HOLD = """
import sys, time
from transfer_exp.store import Lock, open_backend
with Lock(open_backend(sys.argv[1]), "a.lock", timeout=0.4):
    print("held", flush=True)
    time.sleep(60)
"""


def lock_in(folder, timeout=60.0):
    return Lock(open_backend(folder), "a.lock", timeout)


def start(code, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def start_holder(folder):
    holder = start(HOLD, folder)
    assert holder.stdout.readline() == "held\n"
    return holder


@pytest.mark.slow
def test_processes_that_increment_one_counter_lose_no_increment(tmp_path):
    (tmp_path / "total").write_text("0")
    workers = [start(COUNT, tmp_path) for _ in range(4)]
    assert [worker.wait(60) for worker in workers] == [0] * 4
    assert (tmp_path / "total").read_text() == "80"
    assert [path.name for path in tmp_path.iterdir()] == ["total"], "no lock is left behind"


def test_one_thread_at_a_time_holds_the_lock(tmp_path):
    holders, counts = [], []

    def work():
        with lock_in(tmp_path):
            holders.append(1)
            counts.append(len(holders))
            time.sleep(0.01)
            holders.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [1] * 6


@pytest.mark.slow
def test_the_lock_of_a_killed_process_is_broken_at_once(tmp_path):
    holder = start_holder(tmp_path)
    holder.kill()
    holder.wait()
    begin = time.monotonic()
    with lock_in(tmp_path, timeout=60.0):
        assert time.monotonic() - begin < 10


@pytest.mark.slow
def test_a_living_holder_keeps_the_lock_until_it_is_suspended(tmp_path):
    holder = start_holder(tmp_path)
    acquired = threading.Event()

    def wait_for_lock():
        with lock_in(tmp_path, timeout=0.4):
            acquired.set()

    waiter = threading.Thread(target=wait_for_lock, daemon=True)
    waiter.start()
    assert not acquired.wait(1.5)
    holder.send_signal(signal.SIGSTOP)  # The process exists, but does not renew the lock: as on a suspended machine.
    assert acquired.wait(10)
    holder.kill()
    holder.wait()
    waiter.join()


@pytest.mark.parametrize("text", [OTHER_MACHINE, ""])
def test_a_lock_without_renewal_is_broken_after_the_timeout_of_the_waiter(tmp_path, text):
    path = tmp_path / "a.lock"
    path.write_text(text)
    for seconds in (0, 4e9):  # The clock of the file system does not matter.
        os.utime(path, (seconds, seconds))
    begin = time.monotonic()
    with lock_in(tmp_path, timeout=0.3):
        assert 0.3 <= time.monotonic() - begin < 5
    assert not path.exists()


def test_of_two_that_break_a_dead_lock_the_slower_one_keeps_the_lock_of_the_faster(tmp_path, monkeypatch):
    (tmp_path / "a.lock").write_text(OTHER_MACHINE)
    backend, faster = open_backend(tmp_path), lock_in(tmp_path)
    monkeypatch.setattr("transfer_exp.store.lock.is_dead", lambda text: text == OTHER_MACHINE)
    slow_text = backend.read("a.lock")  # the slower one has read the dead lock, and is about to remove it
    with faster:
        backend.remove_if("a.lock", slow_text)
        assert (tmp_path / "a.lock").exists()
    assert not (tmp_path / "a.lock").exists()


@pytest.mark.slow
def test_many_that_break_a_dead_lock_at_the_same_time_hold_it_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.setattr("transfer_exp.store.lock.is_dead", lambda text: text == OTHER_MACHINE)
    holders, counts, barrier = [], [], threading.Barrier(8)

    def work():
        barrier.wait()
        with lock_in(tmp_path):
            holders.append(1)
            counts.append(len(holders))
            time.sleep(0.002)
            holders.pop()

    for _ in range(5):
        (tmp_path / "a.lock").write_text(OTHER_MACHINE)
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counts == [1] * 40


@pytest.mark.slow
def test_a_lock_of_another_machine_that_is_renewed_is_waited_for(tmp_path):
    path, finished = tmp_path / "a.lock", threading.Event()
    path.write_text(OTHER_MACHINE)

    def renew():
        for count in range(10):
            time.sleep(0.1)
            path.write_text(f"other-machine/1 1 abc {count:09d}\n")
        finished.set()

    threading.Thread(target=renew).start()
    with lock_in(tmp_path, timeout=0.5):
        assert finished.is_set()


def test_a_broken_lock_is_neither_renewed_nor_released_by_its_former_holder(tmp_path, caplog):
    path = tmp_path / "a.lock"
    former = lock_in(tmp_path, timeout=0.2)
    former.acquire()
    path.write_text(OTHER_MACHINE)
    time.sleep(0.3)
    assert "another process has taken the lock" in caplog.text
    former.release()
    assert path.read_text() == OTHER_MACHINE


@pytest.mark.parametrize("kind", ["dangling link", "link", "fifo", "folder"])
def test_a_lock_that_is_not_a_regular_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "a.lock"
    match kind:
        case "dangling link":
            path.symlink_to(tmp_path / "absent")
        case "link":
            (tmp_path / "target").write_text(OTHER_MACHINE)
            path.symlink_to(tmp_path / "target")
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
    with pytest.raises(InputError, match=r"a\.lock is not a regular file, so it cannot be a lock: remove it"):
        lock_in(tmp_path).acquire()


def test_a_lock_that_can_be_neither_created_nor_read_ends_the_wait_after_the_timeout(tmp_path, monkeypatch):
    monkeypatch.setattr("transfer_exp.store.backend.Backend.create", lambda *_: False)
    with pytest.raises(InputError, match=r"a\.lock can be neither created nor read: remove it"):
        lock_in(tmp_path, timeout=0.1).acquire()


def test_a_lock_creates_its_folder_and_leaves_nothing_in_it(tmp_path):
    with lock_in(tmp_path / "absent"):
        assert [path.name for path in (tmp_path / "absent").iterdir()] == ["a.lock"]
    assert not list((tmp_path / "absent").iterdir())


def test_a_folder_that_cannot_be_created_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"/file is a file where the store needs a folder: remove it"):
        lock_in(tmp_path / "file").acquire()
