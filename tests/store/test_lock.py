"""A lease: one holder at a time, and none that is dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from transfer_exp.store import FileLease

ROOT = Path(__file__).parents[2]
COUNT = """
import sys
from pathlib import Path
from transfer_exp.store import FileLease
folder = Path(sys.argv[1])
for _ in range(20):
    with FileLease(folder / "a.lease"):
        total = int((folder / "total").read_text())
        (folder / "total").write_text(str(total + 1))
"""
HOLD = """
import sys, time
from pathlib import Path
from transfer_exp.store import FileLease
with FileLease(Path(sys.argv[1]) / "a.lease", patience=0.4):
    print("held", flush=True)
    time.sleep(60)
"""


def _run(code, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def _held(folder):
    holder = _run(HOLD, folder)
    assert holder.stdout.readline() == "held\n"
    return holder


@pytest.mark.slow
def test_processes_that_count_together_lose_no_count(tmp_path):
    (tmp_path / "total").write_text("0")
    workers = [_run(COUNT, tmp_path) for _ in range(4)]
    assert [worker.wait(60) for worker in workers] == [0] * 4
    assert (tmp_path / "total").read_text() == "80"
    assert [path.name for path in tmp_path.iterdir()] == ["total"], "nothing is left behind"


def test_threads_wait_for_each_other(tmp_path):
    inside, most = [], []

    def work():
        with FileLease(tmp_path / "a.lease"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6


@pytest.mark.slow
def test_a_lease_whose_process_was_killed_is_taken_at_once(tmp_path):
    holder = _held(tmp_path)
    holder.kill()
    holder.wait()
    start = time.monotonic()
    with FileLease(tmp_path / "a.lease", patience=60.0):
        assert time.monotonic() - start < 10


@pytest.mark.slow
def test_a_living_holder_keeps_it_beyond_anybodys_patience(tmp_path):
    holder = _held(tmp_path)
    waiting = threading.Event()

    def ask():
        with FileLease(tmp_path / "a.lease", patience=0.4):
            waiting.set()

    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    assert not waiting.wait(1.5)
    holder.send_signal(signal.SIGSTOP)  # as a suspended machine: it is there, and says nothing
    assert waiting.wait(10)
    holder.kill()
    holder.wait()
    asker.join()


def test_a_silent_lease_of_another_machine_is_taken_after_the_patience_of_who_waits(tmp_path):
    path = tmp_path / "a.lease"
    path.write_text("elsewhere/1 1 abc 000000000\n")
    for year in (0, 4e9):  # what the clocks of files say does not matter
        os.utime(path, (year, year))
    start = time.monotonic()
    with FileLease(path, patience=0.3):
        assert 0.3 <= time.monotonic() - start < 5
    assert not path.exists()


def test_a_lease_of_another_machine_that_changes_is_waited_for(tmp_path):
    path, over = tmp_path / "a.lease", threading.Event()
    path.write_text("elsewhere/1 1 abc 000000000\n")

    def live():
        for count in range(10):
            time.sleep(0.1)
            path.write_text(f"elsewhere/1 1 abc {count:09d}\n")
        over.set()

    threading.Thread(target=live).start()
    with FileLease(path, patience=0.5):
        assert over.is_set()


def test_a_lease_that_was_cut_off_before_it_said_anything_is_taken(tmp_path):
    (tmp_path / "a.lease").touch()
    with FileLease(tmp_path / "a.lease", patience=0.1):
        assert (tmp_path / "a.lease").read_text()


def test_who_was_given_up_does_not_give_back_what_is_anothers(tmp_path):
    path = tmp_path / "a.lease"
    first = FileLease(path)
    first.take()
    FileLease(path)._take_away(path.read_text())
    with FileLease(path):
        mine = path.read_text()
        first.give_back()
        assert path.read_text() == mine


def test_a_lease_that_lives_after_all_is_put_back(tmp_path):
    path = tmp_path / "a.lease"
    with FileLease(path):
        said = path.read_text()
        FileLease(path)._take_away("what a dead holder had said")
        assert path.read_text() == said
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        FileLease(tmp_path / "absent" / "a.lease").take()
