"""No tracking: results are only in the folder of the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transfer_exp.tracker.tracker import TrackedRun


@dataclass(frozen=True)
class NoTracker:
    """A tracker that records nothing."""

    def start(self, run: TrackedRun, folder: Path) -> None:
        """Do nothing; see `Tracker.start`."""
