"""Interface of experiment trackers, and the record of a run that they receive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

REPORT = "report"
"""Stage of the record of a sweep as a whole."""


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
    """Record of a finished job, or of a finished sweep.

    Attributes:
        stage: ``features``, ``grid``, ``finetune``, ``score`` or ``rank``; ``report`` for a sweep as a whole.
        cell: Labels of the job in tables, by field.
        config: Resolved configuration as plain values, to filter and group runs by.
        group: Name of the sweep that the job belongs to, or None.
        summary: Final numbers by name.
        tables: Rows by name of the table, each a mapping from column to value. A table has at least one row, and its
            rows have the same columns.
        images: Image files by name.
        output_artifacts, input_artifacts: Files that the run wrote, and files that it read.
        data: Digest of the images or arrays that the run used; empty for a sweep.
    """

    stage: str
    cell: Mapping[str, str]
    config: Mapping[str, Any]
    group: str | None = None
    summary: Mapping[str, float | int | bool] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    images: Mapping[str, Path] = field(default_factory=dict)
    output_artifacts: Sequence[Artifact] = ()
    input_artifacts: Sequence[Artifact] = ()
    data: str = ""


@runtime_checkable
class Tracker(Protocol):
    """Service that records runs for comparison, in addition to the folder of the run."""

    def record(self, run: TrackedRun, folder: Path) -> str | None:
        """Record a run, or skip it.

        Args:
            run: A job or a sweep. The tracker receives both and skips the kinds that its options exclude.
            folder: Folder of the run, for local files.

        Returns:
            Path or address of the record, or None if there is none.

        Raises:
            InputError: If the service refuses the record (no login, no network).
        """
        ...
