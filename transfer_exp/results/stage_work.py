"""The work that a stage of a sweep is."""

from __future__ import annotations

from dataclasses import dataclass

_NUMBER = 4
"""Bytes."""


@dataclass
class Work:
    """The jobs of a stage.

    Attributes
    ----------
    jobs, done
        How many there are, and of how many the store has the result; None where it keeps none.
    passes
        How often an image goes forward through a network in the others; backward counts as two.
    seconds, longest
        What the others take together on this device, one after the other, and the longest of them.
    numbers
        What the others add to the store.
    """

    jobs: int = 0
    done: int | None = 0
    passes: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    numbers: int = 0

    def add(self, done: bool, passes: int, pace: float, numbers: int = 0) -> None:
        """Count a job."""
        self.jobs += 1
        if done:
            self.done = (self.done or 0) + 1
            return
        self.passes += passes
        self.seconds += passes * pace
        self.longest = max(self.longest, passes * pace)
        self.numbers += numbers

    @property
    def storage(self) -> int:
        """Bytes."""
        return self.numbers * _NUMBER
