"""Work on several models of a pool at a time, in processes of one thread each.

Several threads for one model would wait for each other at every small matrix product, which takes many times as long
on a machine with other work. A process works on one model at a time with one thread, and never waits for another one.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]
from typing import Any, Generic, Literal, NoReturn, TypeAlias, TypeVar

import torch
from joblib import cpu_count
from threadpoolctl import threadpool_limits

from transfer_exp.errors import InputError, TerminatedError
from transfer_exp.features.extraction import best_device
from transfer_exp.features.pixels import PIXEL_CACHE
from transfer_exp.progress import Track, curve, listen
from transfer_exp.statistics.memory import SharedMemoryError, available_memory, share_memory
from transfer_exp.store import Store

Jobs: TypeAlias = int | Literal["auto"]
"""Number of models to work on at a time; ``auto`` is described in `count_jobs`."""
Item = TypeVar("Item")
Value = TypeVar("Value")
_MEMORY_OF_A_JOB = 2 * 1024**3
"""Bytes for a network of common size, its activations in a batch, and the features of one model."""
SERIAL_SECONDS = 0.5
"""Seconds of work on arrays in one process before others start: most pools of arrays are scored in less."""
_SECONDS_TO_STOP = 5.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def count_jobs(jobs: Jobs, models: int, device: str, store: Store) -> int:
    """Return the number of processes for a pool, at least 1.

    ``auto`` is one process for each core, as far as the free memory allows 2 GiB for each. The cores are those of the
    environment variable ``OMP_NUM_THREADS`` if it is set, or else those that this process may use. In a worker process,
    as of the launcher ``joblib``, it is one. There is never more than one process for each model, and only one with a
    GPU, with an object store, and on systems other than Linux.

    Args:
        jobs: The setting.
        models: Number of models in the pool.
        device: Device of the networks.
        store: Cache that the processes share.
    """
    is_possible = sys.platform == "linux" and store.backend.is_local and best_device(device).type == "cpu"
    if not is_possible:
        return 1
    if jobs == "auto":
        variable, memory = os.environ.get("OMP_NUM_THREADS", ""), available_memory()
        is_worker = multiprocessing.current_process().name != "MainProcess"
        jobs = 1 if is_worker else int(variable) if variable.isdecimal() else int(cpu_count())
        jobs = jobs if memory is None else min(jobs, memory // _MEMORY_OF_A_JOB)
    return max(1, min(int(jobs), models))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Use one thread for the linear algebra of NumPy and SciPy inside the context, which can be a decorator."""
    with threadpool_limits(1, user_api="blas"):
        yield


def map_models(
    work: Callable[[Item, Track], Value], items: Sequence[Item], jobs: int, track: Track, serial_seconds: float = 0.0
) -> Iterator[Value]:
    """Yield the value of the work for each item, in their order; it does not depend on ``jobs``.

    Args:
        work: Function of an item and of the callback for its progress. With several jobs it runs in a copy of this
            process: changes that it makes to objects are lost, and its value is pickled.
        items: Models.
        jobs: Number of processes; 1 works in this process.
        track: Shows the progress.
        serial_seconds: Seconds of work in this process before others start: light work needs no others.

    Raises:
        InputError: If a process is killed.
        Exception: The error of the first item whose work fails.
    """
    start = time.monotonic()
    with one_blas_thread():
        for position, item in enumerate(items):
            if jobs > 1 and time.monotonic() - start >= serial_seconds and position + 1 < len(items):
                yield from _ProcessPool(work, items[position:], jobs, track).run()
                return
            yield work(item, track)


class ModelThreads:
    """Threads that extract features of several models at a time, and share their decoded images.

    Args:
        jobs: Number of threads; each uses one thread of torch if there are several.
        track: Shows the progress.
    """

    def __init__(self, jobs: int, track: Track) -> None:
        self.jobs, self._track = jobs, track
        self._lock, self._is_stopped = threading.Lock(), False

    def track(self, description: str, total: int) -> Callable[[], object]:
        """Start a progress bar, which several threads can do at a time; the `Track` for the work in `map`."""
        with self._lock:
            advance = self._track(description, total)

        def advance_unless_stopped() -> None:
            if self._is_stopped:
                raise _StoppedError
            with self._lock:
                advance()

        return advance_unless_stopped

    def map(self, work: Callable[[Item], Value], items: Sequence[Item]) -> Iterator[Value]:
        """Yield the value of the work for each item, in their order, or raise the error of the first that fails.

        After an error or an interrupt, the threads stop at the next step of their progress.
        """
        if min(self.jobs, len(items)) < 2:
            yield from map(work, items)
            return
        limit = torch.get_num_threads()
        torch.set_num_threads(1)  # also for threads that start later
        executor = ThreadPoolExecutor(self.jobs)
        try:
            for future in [executor.submit(work, item) for item in items]:
                yield future.result()
        finally:
            self._is_stopped = True
            executor.shutdown(cancel_futures=True)
            self._is_stopped = False
            torch.set_num_threads(limit)


class _StoppedError(Exception):
    """Raised in a thread whose work is no longer needed."""


@dataclass(eq=False)
class _ProcessPool(Generic[Item, Value]):
    """Items that several processes work on."""

    work: Callable[[Item, Track], Value]
    items: Sequence[Item]
    jobs: int
    track: Track
    _answers: dict[int, tuple[str, Any]] = field(default_factory=dict)
    _positions: dict[Connection, int] = field(default_factory=dict)
    """Position that a process works on, by its connection."""
    _bars: dict[Connection, Callable[[], object]] = field(default_factory=dict)

    def run(self) -> Iterator[Value]:
        """Yield the values in the order of the items."""
        with self._processes() as processes:
            remaining = iter(range(len(self.items)))
            for connection in processes:
                self._send_next(connection, remaining)
            for position in range(len(self.items)):
                while position not in self._answers:
                    self._receive(processes, remaining)
                kind, value = self._answers.pop(position)
                if kind == "error":
                    raise value
                if kind == "out of memory":
                    while self._positions:
                        self._receive(processes, remaining)
                    value = self.work(self.items[position], self.track)
                yield value

    @contextmanager
    def _processes(self) -> Iterator[dict[Connection, ForkProcess]]:
        """Start the processes, and stop them in the end."""
        # Only a fork takes over networks, images and settings as they are, and starts without importing torch again.
        context = multiprocessing.get_context("fork")
        processes: dict[Connection, ForkProcess] = {}
        try:
            for _ in range(min(self.jobs, len(self.items))):
                ours, theirs = context.Pipe()
                process = context.Process(target=self._serve, args=(theirs, [*processes, ours]))
                process.start()
                theirs.close()
                processes[ours] = process
            yield processes
        finally:
            for process in processes.values():
                process.terminate()
            for connection, process in processes.items():
                process.join(_SECONDS_TO_STOP)
                process.kill()
                process.join()
                connection.close()

    def _send_next(self, connection: Connection, remaining: Iterator[int]) -> None:
        self._positions.pop(connection, None)
        position = next(remaining, None)
        if position is not None:
            self._positions[connection] = position
            connection.send(position)

    def _receive(self, processes: dict[Connection, ForkProcess], remaining: Iterator[int]) -> None:
        """Handle what the processes have sent."""
        for connection in wait(list(self._positions)):
            assert isinstance(connection, Connection)
            try:
                kind, value = connection.recv()
            except (EOFError, ConnectionResetError) as error:
                processes[connection].join(_SECONDS_TO_STOP)
                raise InputError(
                    f"a process that worked on a model has died (exit code {processes[connection].exitcode}), probably "
                    "because memory ran out: set jobs=1"
                ) from error
            if kind == "log":
                logging.getLogger(value.name).handle(value)
            elif kind == "curve":
                curve(*value)
            elif kind == "start":
                self._bars[connection] = self.track(*value)
            elif kind == "advance":
                self._bars[connection]()
            else:
                self._answers[self._positions[connection]] = kind, value
                self._send_next(connection, remaining)

    def _serve(self, connection: Connection, foreign: Sequence[Connection]) -> None:
        """Work on the items whose positions arrive: the life of a process."""
        for other in foreign:
            other.close()  # Copies of the ends of the parent would keep this process from seeing that the parent died.
        lock = threading.Lock()

        def send(kind: str, value: object = None) -> None:
            with lock:  # The heartbeat of a lock of the store logs from a thread.
                connection.send((kind, value))

        def track(description: str, total: int) -> Callable[[], object]:
            send("start", (description, total))
            return lambda: send("advance")

        _become_worker(send, self.jobs)
        # Without a parent, or when it stops this process, there is nobody to answer.
        with suppress(EOFError, BrokenPipeError, TerminatedError), listen(_Curves(send)):
            while True:
                item = self.items[connection.recv()]
                try:
                    send("value", self.work(item, track))
                except SharedMemoryError:
                    send("out of memory")
                except (Exception, SystemExit) as error:
                    send("error", _portable(error))


def _portable(error: BaseException) -> object:
    """Return an error with its traceback as text, in a form that another process can read."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # An error of third-party code may not be made for it.
        return ExceptionWithTraceback(RuntimeError(f"{type(error).__name__}: {error}"), error.__traceback__)
    return ExceptionWithTraceback(error, error.__traceback__)


def _become_worker(send: Callable[[str, object], None], jobs: int) -> None:
    """Make this new process one that computes with one thread, sends its messages to its parent, and dies with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent receives it too, and stops this process.
    signal.signal(signal.SIGTERM, _terminate)  # Locks and temporary files are removed when it exits.
    threading.Thread(target=_exit_after_parent, daemon=True).start()
    logging.getLogger("transfer_exp").handlers.clear()
    logging.getLogger().handlers[:] = [_Forwarding(send)]
    torch.set_num_threads(1)
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))  # for libraries that are loaded later
    share_memory(jobs)
    PIXEL_CACHE.max_bytes //= jobs


def _terminate(*_: object) -> NoReturn:
    raise TerminatedError


def _exit_after_parent() -> None:
    """Wait until the parent is dead, even if it was killed, and end this process."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "this runs in a process of `_ProcessPool`"
    parent.join()
    os._exit(1)


@dataclass(frozen=True)
class _Curves:
    """Listener that sends the curves of training to the parent, which shows the rest of the progress itself."""

    send: Callable[[str, object], None]

    def progress(self, phase: str | None = None, done: int | None = None, total: int | None = None) -> None:
        """Do nothing; see `Listener.progress`."""

    def curve(self, name: str, step: int, values: Mapping[str, float]) -> None:
        """Send points, see `Listener.curve`."""
        self.send("curve", (name, step, dict(values)))


class _Forwarding(QueueHandler):
    """Handler that sends records to the parent, which alone writes to the terminal and to files."""

    def __init__(self, send: Callable[[str, object], None]) -> None:
        super().__init__(queue.SimpleQueue())
        self._send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send a record."""
        self._send("log", record)
