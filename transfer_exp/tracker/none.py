"""No tracking: the run's own folder holds everything anyway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_exp.types import CellResult


@dataclass(frozen=True)
class NoTracker:
    """A tracker that keeps nothing."""

    def record(
        self,
        result: CellResult,
        config: Mapping[str, Any],
        group: str | None,
        figure: Path | None,
        folder: Path,
    ) -> None:
        """Do nothing; see `Tracker.record`."""
