"""What the doctor says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """One line of what was found; ``broken`` where every run needs it and it does not work."""

    name: str
    text: str
    broken: bool = False
