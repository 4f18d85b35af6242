"""Terminal output in which names are only text: neither markup nor control characters of a name take effect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from transfer_exp.errors import escape_controls

_DEFAULT_WIDTH = 80


class Terminal(Console):
    """Console that prints names of models, classes and files as they are, with control characters escaped.

    Args:
        **options: Options of `rich.console.Console`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})
        if self.width < 1:  # COLUMNS=0, which would print nothing
            self.width = _DEFAULT_WIDTH

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of a renderable; every table, text and line goes through this method."""
        for segment in super().render(renderable, options):
            lines = segment.text.split("\n")
            safe = "\n".join(map(escape_controls, lines))
            yield segment if segment.control or safe == segment.text else Segment(safe, segment.style)
