"""Several trackers at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer_exp.errors import InputError, first_line, one_line
from transfer_exp.tracker.tracker import ActiveRun, TrackedResults, TrackedRun, Tracker

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeveralTrackers:
    """A tracker that hands every run to several others.

    Attributes:
        trackers: The trackers by name.
    """

    trackers: Mapping[str, Tracker]

    def __post_init__(self) -> None:
        if not self.trackers:
            raise InputError("tracker=several has no trackers: write tracker=[wandb,tensorboard]")

    def start(self, run: TrackedRun, folder: Path) -> SeveralRuns | None:
        """Start the run with each tracker; if one refuses it, the others end theirs as failed."""
        runs: list[ActiveRun] = []
        try:
            for tracker in self.trackers.values():
                active = tracker.start(run, folder)
                runs += [] if active is None else [active]
        except Exception:
            SeveralRuns(runs).fail("another tracker refused the run")
            raise
        return SeveralRuns(runs) if runs else None


class SeveralRuns:
    """A run in progress with one or more trackers, see `ActiveRun`.

    A tracker that fails stops neither the others nor the work: hours of computing must not be lost to a service.

    Args:
        runs: The run of each tracker.
    """

    def __init__(self, runs: Sequence[ActiveRun]) -> None:
        self._runs, self._listening = runs, list(runs)

    def log(self, axis: str, position: float | int, values: Mapping[str, float | int | str]) -> None:
        """Record values with each tracker; one that refuses them is not asked again."""
        for run in self._listening:
            try:
                run.log(axis, position, values)
            except Exception as error:
                self._listening = [other for other in self._listening if other is not run]
                _log.warning("the tracker does not record the progress any more: %s", one_line(first_line(error)))

    def finish(self, results: TrackedResults) -> str | None:
        """End each run; return the records, separated by commas.

        Raises:
            InputError: If one tracker refuses the results; the others have recorded them.
            Exception: That of the only tracker.
        """
        records, problems = list[str](), list[Exception]()
        for run in self._runs:
            try:
                record = run.finish(results)
                records += [] if record is None else [record]
            except Exception as error:
                problems.append(error)
        if problems and len(self._runs) == 1:
            raise problems[0]
        if problems:
            raise InputError("; ".join(one_line(first_line(problem)) for problem in problems))
        return ", ".join(records) or None

    def fail(self, reason: str) -> None:
        """End each run as failed."""
        for run in self._runs:
            try:
                run.fail(reason)
            except Exception as error:  # the user has to see the first error
                _log.debug("the run of a tracker could not be ended: %s", error)
