"""Progress bars on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from transfer_exp.progress import Track


@contextmanager
def progress_bars(models: int, title: str) -> Iterator[tuple[Track, Callable[[], object]]]:
    """Show one bar for the models of a pool and, below it, one for the work in hand.

    Yields
    ------
    track
        Replaces the lower bar.
    next_model
        Moves the upper bar on by one.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    # Into a file or a pipe go no bars, and not the empty line that would be left of them.
    console.quiet = not (console.is_terminal or console.is_jupyter)
    with Progress(*columns, console=console, transient=True) as progress:
        upper = progress.add_task(title, total=models)
        lower = progress.add_task("", total=None, visible=False)

        def track(what: str, total: int) -> Callable[[], object]:
            progress.reset(lower, description=what, total=total, visible=True)
            return lambda: progress.advance(lower)

        yield track, lambda: progress.advance(upper)
