"""Time budget of a search: a clock that says how much time is left."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Budget:
    """Time limit that runs from `start`, by default the moment of creation.

    Attributes:
        seconds: Time limit; None for no limit.
        start: Reading of `time.perf_counter` when the time began to run.
    """

    seconds: float | None
    start: float = field(default_factory=lambda: time.perf_counter())

    def with_at_least_half_left(self) -> Budget:
        """Return the budget, started later if more than half is spent, so that work before a search leaves it half."""
        return (
            self
            if self.seconds is None
            else replace(self, start=max(self.start, time.perf_counter() - self.seconds / 2))
        )

    @property
    def spent(self) -> float:
        """Seconds since `start`."""
        return time.perf_counter() - self.start

    def left(self, share: float = 1.0) -> float:
        """Return the seconds until ``share`` (0 to 1) of the limit is spent, negative afterwards; infinite if none."""
        return math.inf if self.seconds is None else share * self.seconds - self.spent
