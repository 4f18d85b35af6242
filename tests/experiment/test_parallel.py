"""Work on several models at a time gives what work on one model at a time gives, and leaves no process behind."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from threadpoolctl import threadpool_info

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.experiment import parallel
from transfer_exp.experiment.parallel import ModelThreads, count_jobs, map_models
from transfer_exp.features.extraction import LARGE, tuned_for
from transfer_exp.progress import curve, listen, silent
from transfer_exp.statistics import memory
from transfer_exp.store import Store

pytestmark = pytest.mark.slow

JOBS = pytest.mark.parametrize("jobs", [1, 2, 3])


def values(work, items, jobs, track=silent, **settings):
    return list(map_models(lambda item, track: work(item, track), items, jobs, track, **settings))


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    assert multiprocessing.active_children() == []


@JOBS
def test_values_logs_and_progress_are_the_same_for_any_number_of_jobs(jobs, caplog):
    started, advanced, points = [], [], []

    def work(item, track):
        advance = track(f"item {item}", 2)
        curve(f"item {item}", 1, {"train_loss": 0.5})
        logging.getLogger("transfer_exp.test").info("%d is done", item)
        advance()
        return item**2, os.getpid()

    def track(description, total):
        started.append((description, total))
        return lambda: advanced.append(description)

    listener = SimpleNamespace(progress=lambda **changed: None, curve=lambda *point: points.append(point))
    with caplog.at_level("INFO"), listen(listener):
        squares, processes = zip(*values(work, range(7), jobs, track), strict=True)
    assert squares == (0, 1, 4, 9, 16, 25, 36)
    assert sorted(started) == [(f"item {i}", 2) for i in range(7)]
    assert sorted(points) == [(f"item {i}", 1, {"train_loss": 0.5}) for i in range(7)]
    assert sorted(advanced) == [f"item {i}" for i in range(7)]
    assert sorted(caplog.messages) == [f"{i} is done" for i in range(7)]
    assert len(set(processes)) <= jobs
    assert (os.getpid() in processes) == (jobs == 1)


@JOBS
def test_blas_and_in_other_processes_torch_have_one_thread(jobs):
    def work(item, track):
        blas = {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
        return blas, torch.get_num_threads()

    torch.set_num_threads(2)
    try:
        assert values(work, range(3), jobs) == [({1}, 2 if jobs == 1 else 1)] * 3
    finally:
        torch.set_num_threads(1)


@JOBS
@pytest.mark.parametrize("kind", [InputError, NotApplicableError, KeyError, SystemExit])
def test_the_error_of_the_first_item_is_raised(jobs, kind):
    def work(item, track):
        if item in (1, 4):
            time.sleep(0.1 if item == 1 else 0)  # item 4 fails first
            raise kind(f"item {item}")
        return item

    with pytest.raises(kind, match="item 1"):
        values(work, range(6), jobs)


def test_an_error_that_cannot_be_pickled_keeps_its_text():
    class Local(Exception):
        pass

    def work(item, track):
        raise Local("lost connection")

    with pytest.raises(RuntimeError, match="Local: lost connection"):
        values(work, range(3), 2)


def test_a_killed_process_ends_the_work_with_a_remedy():
    def work(item, track):
        if item == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    with pytest.raises(InputError, match=r"has died \(exit code -9\).*set jobs=1"):
        values(work, range(6), 2)


def test_a_model_that_needs_the_memory_of_all_is_worked_on_alone(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)

    def work(item, track):
        memory.check_memory("logme", 100.0 if item == 1 else 10.0)  # 800 of 1000 bytes
        return os.getpid()

    processes = values(work, range(4), 2)
    assert [process == os.getpid() for process in processes] == [False, True, False, False]


@pytest.mark.parametrize("serial_seconds", [0.0, 1000.0])
def test_light_work_starts_no_process(serial_seconds):
    processes = values(lambda item, track: os.getpid(), range(5), 2, serial_seconds=serial_seconds)
    assert [process == os.getpid() for process in processes] == [serial_seconds > 0] * 5


@pytest.mark.parametrize(
    ("jobs", "models", "environment", "free", "count"),
    [
        ("auto", 14, "", None, 8),
        ("auto", 3, "", None, 3),
        ("auto", 14, "4", None, 4),
        ("auto", 14, "", 7 * 1024**3, 3),
        ("auto", 14, "", 0, 1),
        (2, 14, "1", 0, 2),
        (5, 1, "", None, 1),
        (5, 0, "", None, 1),
    ],
)
def test_jobs_are_one_for_each_core_and_2_gib(jobs, models, environment, free, count, monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", environment)
    monkeypatch.setattr(parallel, "cpu_count", lambda: 8)
    monkeypatch.setattr(parallel, "available_memory", lambda: free)
    assert count_jobs(jobs, models, "cpu", Store(tmp_path)) == count


def test_one_job_in_a_worker_process_unless_a_number_is_set(tmp_path):
    counts = values(lambda item, track: count_jobs(item, 4, "cpu", Store(tmp_path)), ["auto", 3], 2)
    assert counts == [1, 3]


def test_one_job_with_a_gpu_an_object_store_or_another_system(monkeypatch, tmp_path):
    assert count_jobs(4, 4, "meta", Store(tmp_path)) == 1
    assert count_jobs(4, 4, "cpu", Store("memory://store")) == 1
    monkeypatch.setattr(sys, "platform", "darwin")
    assert count_jobs(4, 4, "cpu", Store(tmp_path)) == 1


@pytest.mark.parametrize(("width", "threads"), [(1, 1), (LARGE, 4)])
def test_only_a_large_network_gets_several_threads(width, threads):
    torch.set_num_threads(4)
    try:
        with tuned_for(torch.nn.Linear(width, 1, device="meta")):
            assert torch.get_num_threads() == threads
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(1)


_SLEEPERS = """
import os, signal, time
from transfer_exp.experiment.parallel import map_models
from transfer_exp.progress import silent
def work(item, track):
    print(os.getpid(), flush=True)
    time.sleep(600)
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell
list(map_models(work, range(2), 2, silent))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_processes_end_with_their_parent(number):
    parent = subprocess.Popen(
        [sys.executable, "-c", _SLEEPERS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    children = [int(parent.stdout.readline()) for _ in range(2)]
    parent.send_signal(number)
    parent.wait(30)
    deadline = time.monotonic() + 30
    while any(os.path.exists(f"/proc/{child}") for child in children):  # noqa: PTH110
        assert time.monotonic() < deadline, "a process outlives its parent"
        time.sleep(0.05)


@JOBS
def test_threads_give_the_same_values_with_one_thread_of_torch_each(jobs):
    advanced = []
    threads = ModelThreads(jobs, lambda description, total: lambda: advanced.append(description))

    def work(item):
        threads.track(f"item {item}", 1)()
        return item**2, torch.get_num_threads()

    torch.set_num_threads(2)
    try:
        assert list(threads.map(work, range(5))) == [(item**2, 2 if jobs == 1 else 1) for item in range(5)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert sorted(advanced) == [f"item {item}" for item in range(5)]


@JOBS
def test_threads_stop_after_an_error(jobs):
    threads = ModelThreads(jobs, silent)
    steps = Counter()

    def work(item):
        if item == 0:
            raise InputError("item 0")
        advance = threads.track(f"item {item}", 10**6)
        while True:
            advance()
            steps[item] += 1
            time.sleep(0.01)

    with pytest.raises(InputError, match="item 0"):
        list(threads.map(work, range(5)))
    assert sum(steps.values()) < 1000
