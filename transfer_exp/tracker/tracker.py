"""What every tracker does, and what it is told of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

REPORT = "report"
"""The stage of a run that stands for a whole sweep."""


@dataclass(frozen=True)
class Artifact:
    """Files that a run wrote, or read.

    Attributes
    ----------
    name
        The same for every version of the same thing.
    type
        ``ranking``, ``sweep`` or ``features``.
    files
        Kept with the record.
    addresses
        URLs of files that stay where they are, by name.
    metadata
        Plain values that say what this version is.
    """

    name: str
    type: str
    files: Sequence[Path] = ()
    addresses: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrackedRun:
    """One job that is over, or a sweep of them.

    Attributes
    ----------
    stage
        ``features``, ``grid``, ``finetune``, ``score`` or ``rank``; ``report`` for a sweep as a whole.
    cell
        What the job is called in tables, by field.
    config
        The resolved configuration as plain values: whatever runs may be filtered or grouped by.
    group
        The sweep it is of, or None for a run alone.
    summary
        Final numbers by name.
    tables
        By name, a mapping from column to value for each row; all rows of a table have the same columns, and there is
        one at least.
    images
        Files by name.
    made, used
        What came out of the run, and what went into it.
    """

    stage: str
    cell: Mapping[str, str]
    config: Mapping[str, Any]
    group: str | None = None
    summary: Mapping[str, float | int | bool] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    images: Mapping[str, Path] = field(default_factory=dict)
    made: Sequence[Artifact] = ()
    used: Sequence[Artifact] = ()


@runtime_checkable
class Tracker(Protocol):
    """Keeps results where a person compares runs, besides the run's own folder."""

    def record(self, run: TrackedRun, folder: Path) -> str | None:
        """Record a run, or leave it out.

        Parameters
        ----------
        run
            A job, or a sweep: each is offered, and the tracker knows which it was asked to keep.
        folder
            The run's own, for local files.

        Returns
        -------
        str or None
            Where to look at the record (a path or an address), or None when there is none.

        Raises
        ------
        InputError
            When the record cannot be kept as asked (no login, no network).
        """
        ...
