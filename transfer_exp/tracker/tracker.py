"""What every tracker does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from transfer_exp.types import CellResult


@runtime_checkable
class Tracker(Protocol):
    """Keeps results where a person compares runs, besides the run's own folder."""

    def record(
        self,
        result: CellResult,
        config: Mapping[str, Any],
        group: str | None,
        figure: Path | None,
        folder: Path,
    ) -> str | None:
        """Record one cell.

        Parameters
        ----------
        result
            The cell: scores, accuracies, correlations.
        config
            The resolved configuration as plain values: whatever runs may be filtered or grouped by.
        group
            What the runs of one sweep have in common, or None for a single run.
        figure
            An image of the result to attach, or None.
        folder
            The run's own folder, for local files.

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
