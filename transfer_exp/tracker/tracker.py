"""Interface of experiment trackers, the records of a run that they receive, and several trackers at once.

A tracker starts a run before the work (`Tracker.start`), receives values while it is in progress (`ActiveRun.log`),
and ends it with its results (`ActiveRun.finish`) or as failed (`ActiveRun.fail`).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from transfer_exp.errors import InputError, escape_all, first_line, one_line, suggestion

REPORT = "report"
"""Stage of the record of a sweep as a whole."""
SECONDS, TRAINING_STEP = "progress/seconds", "training/step"
"""Axes of `ActiveRun.log`: seconds since the start of the run, and steps of one training run."""
_NAMED_FIELDS = ("model_pool", "models", "dataset", "perturbation", "metric", "ground_truth", "seed")


def further_labels(cell: Mapping[str, str]) -> list[str]:
    """Return the other settings that a sweep varies, such as ``dataset.train_per_class=4``, for names of its jobs."""
    return [f"{name}={value}" for name, value in cell.items() if name not in _NAMED_FIELDS]


@dataclass(frozen=True)
class Artifact:
    """Files that a run wrote or read.

    Attributes:
        name: Name that all versions of the artifact share.
        type: ``ranking``, ``sweep`` or ``features``.
        files: Files to copy into the record.
        addresses: URLs, by name, of files that stay where they are.
        metadata: Plain values that describe this version.
    """

    name: str
    type: str
    files: Sequence[Path] = ()
    addresses: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrackedRun:
    """Description of a job, or of a sweep, before its work.

    Attributes:
        stage: ``features``, ``grid``, ``finetune``, ``score`` or ``rank``; ``report`` for a sweep as a whole.
        cell: Labels of the job in tables, by field.
        config: Resolved configuration as plain values, which decides the result.
        group: Name of the sweep that the job belongs to, or None.
        data: Digest of the images or arrays that the run used; empty for a sweep.
        name: Name for lists of runs.
        options: Chosen option of each config group.
        environment: Versions, git commit and hardware, see `describe_environment`.
    """

    stage: str
    cell: Mapping[str, str]
    config: Mapping[str, Any]
    group: str | None = None
    data: str = ""
    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """Plain nested settings to filter and group runs by: ``option`` names a part, and no value is a class path."""
        groups = {name: value for name, value in self.config.items() if isinstance(value, Mapping)}
        settings = {
            name: _without_targets(value, self.options.get(name), {k: v for k, v in groups.items() if k != name})
            for name, value in self.config.items()
        }
        return {**settings, "cell": dict(self.cell), **self.environment}


def _without_targets(value: Any, option: str | None = None, groups: Mapping[str, Any] | None = None) -> Any:
    """Return settings with ``option`` instead of ``_target_``, which becomes the name of the class without one.

    Args:
        value: Settings of a config group, or any value in it.
        option: Chosen option of the group.
        groups: Settings of other groups; a group inside this one that equals one of them is left out.
    """
    if isinstance(value, list | tuple):
        return [_without_targets(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    target = value.get("_target_")
    option = option or (None if target is None else str(target).rpartition(".")[2])
    plain = {
        key: _without_targets(item)
        for key, item in value.items()
        if key not in ("_target_", "_convert_") and not (groups and key in groups and item == groups[key])
    }
    return plain if option is None else {"option": option, **plain}


@dataclass(frozen=True)
class TrackedResults:
    """Results of a finished run.

    Attributes:
        summary: Final numbers by name.
        tables: Rows by name of the table, each a mapping from column to value. A table has at least one row, and its
            rows have the same columns.
        images: Image files by name.
        output_artifacts, input_artifacts: Files that the run wrote, and files that it read.
    """

    summary: Mapping[str, float | int | bool] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    images: Mapping[str, Path] = field(default_factory=dict)
    output_artifacts: Sequence[Artifact] = ()
    input_artifacts: Sequence[Artifact] = ()


@runtime_checkable
class ActiveRun(Protocol):
    """A run of a tracker that is in progress."""

    def log(self, axis: str, position: float | int, values: Mapping[str, float | int | str]) -> None:
        """Record values at a position of an axis.

        Args:
            axis: `SECONDS` or `TRAINING_STEP`.
            position: Position on the axis, which does not decrease for the values of one name.
            values: Numbers or texts by name, such as ``progress/models_done``.
        """
        ...

    def finish(self, results: TrackedResults) -> str | None:
        """Record the results and end the run.

        Returns:
            Path or address of the record, or None if there is none.

        Raises:
            InputError: If the service refuses the record.
        """
        ...

    def fail(self, reason: str) -> None:
        """End the run as failed, with the reason in one line."""
        ...


@runtime_checkable
class Tracker(Protocol):
    """Service that records runs for comparison, in addition to the folder of the run."""

    def start(self, run: TrackedRun, folder: Path) -> ActiveRun | None:
        """Start the record of a run, or skip it.

        Args:
            run: A job or a sweep. The tracker receives both and skips the kinds that its options exclude.
            folder: Folder of the run, for local files.

        Returns:
            The run in progress, or None if it is not recorded. A run with the same settings, data and sweep continues
            an interrupted one where the service can.

        Raises:
            InputError: If the service refuses the run (no login, no network).
        """
        ...


def run_id(run: TrackedRun) -> str:
    """Return 16 hex digits that identify the run: equal for a repeated run, different for other data, config or sweep.

    ``config["tracker"]`` is left out: tracking does not change the result.
    """
    cell, config, group = (escape_all(value) for value in (run.cell, run.config, run.group))
    config = {key: value for key, value in config.items() if key != "tracker"}
    text = json.dumps([dict(cell), config, group, run.data], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_recorded(run: TrackedRun, per: str) -> bool:
    """Return whether the option ``per`` of a tracker records a run; a job without a sweep is always recorded."""
    return per == "sweep" if run.stage == REPORT else per == "cell" or run.group is None


def check_per(per: str) -> None:
    """Raise InputError if the option ``per`` of a tracker is neither ``cell`` nor ``sweep``."""
    if per not in ("cell", "sweep"):
        raise InputError(f"tracker.per={per} is unknown: {suggestion(per, ('cell', 'sweep'))}")


def need_package(package: str, extra: str) -> None:
    """Raise InputError if a package that a tracker needs is not installed, without importing it."""
    if find_spec(package) is None:
        raise InputError(f"tracker={extra} needs the package {package}: pip install 'transfer-exp[{extra}]'")


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted key; an empty mapping is left out."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flat_settings(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


@dataclass(frozen=True)
class NoTracker:
    """A tracker that records nothing."""

    def start(self, run: TrackedRun, folder: Path) -> None:
        """Do nothing; see `Tracker.start`."""


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
