"""A run from its start to its end: it sends the progress and the curves to a tracker, and fails with the work."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from transfer_exp.errors import first_line, one_line
from transfer_exp.progress import listen, phase
from transfer_exp.tracker.tracker import SECONDS, TRAINING_STEP, SeveralRuns, TrackedResults, TrackedRun, Tracker

_INTERVAL = 1.0
"""Seconds between two records of the progress."""


class LiveRun:
    """Context manager around the work of a run.

    The run starts on entry. Progress and curves are recorded inside the context; a tracker that refuses them is not
    asked again, and the work goes on. The run ends with `finish`, or as failed if the context ends without it.

    Args:
        tracker: Tracker to record the run with.
        run: Description of the run.
        folder: Folder of the run.
    """

    def __init__(self, tracker: Tracker, run: TrackedRun, folder: Path) -> None:
        self._tracker, self._run, self._folder = tracker, run, folder
        self._active: SeveralRuns | None = None
        self._values: dict[str, float | int | str] = {}
        self._start, self._logged_at = time.monotonic(), 0.0
        self._lock, self._stack = threading.Lock(), ExitStack()

    def __enter__(self) -> LiveRun:
        """Start the run; raises InputError if the service refuses it."""
        phase("starting the record of the run")
        active = self._tracker.start(self._run, self._folder)
        if active is not None:
            self._active = SeveralRuns([active])
            self._stack.enter_context(listen(self))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """End the run as failed, unless `finish` was called."""
        self._stack.close()
        active, self._active = self._active, None
        if active is None:
            return
        if isinstance(error, KeyboardInterrupt | SystemExit):
            reason = "interrupted"
        else:
            reason = one_line(first_line(error)) if isinstance(error, Exception) else "ended without results"
        active.fail(reason)

    @property
    def is_recorded(self) -> bool:
        """Whether the tracker records the run, which has started and not ended."""
        return self._active is not None

    def finish(self, results: TrackedResults) -> str | None:
        """Record the results and end the run; return its path or address, or None if there is none.

        Raises:
            InputError: If the service refuses the record.
        """
        if self._active is None:
            return None
        self._stack.close()
        self._values["progress/phase"] = "done"
        self._log_progress()
        active, self._active = self._active, None
        return active.finish(results)

    def progress(self, phase: str | None = None, done: int | None = None, total: int | None = None) -> None:
        """Record the progress, at most once in an interval; see `Listener.progress`."""
        changed = {"progress/phase": phase, "progress/models_done": done, "progress/models": total}
        with self._lock:
            self._values |= {name: value for name, value in changed.items() if value is not None}
            if time.monotonic() - self._logged_at >= _INTERVAL or done is not None:
                self._log_progress()

    def curve(self, name: str, step: int, values: Mapping[str, float]) -> None:
        """Record points of curves, see `Listener.curve`."""
        self._log(TRAINING_STEP, step, {f"{kind}/{name}": value for kind, value in values.items()})

    def _log_progress(self) -> None:
        self._logged_at = time.monotonic()
        self._log(SECONDS, round(self._logged_at - self._start, 1), dict(self._values))

    def _log(self, axis: str, position: float | int, values: Mapping[str, float | int | str]) -> None:
        if self._active is not None:
            self._active.log(axis, position, values)
