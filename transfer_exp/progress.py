"""Progress of long computations: the callback that reports it, and bars on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable


@runtime_checkable
class Track(Protocol):
    """Function that starts a progress bar."""

    def __call__(self, description: str, total: int) -> Callable[[], object]:
        """Start a bar of ``total`` units, such as ``vit: features``; return the function that advances it by one."""
        ...


def silent(description: str, total: int) -> Callable[[], object]:
    """Report no progress: the `Track` for tests and notebooks."""
    return lambda: None


@contextmanager
def progress_bars(models: int, title: str) -> Iterator[tuple[Track, Callable[[], object]]]:
    """Show one bar for the models of a pool and, below it, one for the current computation.

    Nothing is written when stderr is a file or a pipe.

    Args:
        models: Number of models in the pool.
        title: Description of the upper bar.

    Yields:
        track : Track: Restarts the lower bar.
        next_model : callable: Advances the upper bar by one.
    """
    from rich import progress as bars  # Imported late: most users of this module only need the `Track` type.

    from transfer_exp.terminal import Terminal

    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("left"),
        bars.TimeRemainingColumn(),
    )
    console = Terminal(stderr=True)
    # Without a terminal, rich would still print an empty line.
    console.quiet = not (console.is_terminal or console.is_jupyter)
    with bars.Progress(*columns, console=console, transient=True) as progress:
        upper = progress.add_task(title, total=models)
        lower = progress.add_task("", total=None, visible=False)

        def track(description: str, total: int) -> Callable[[], object]:
            progress.reset(lower, description=description, total=total, visible=True)
            return lambda: progress.advance(lower)

        yield track, lambda: progress.advance(upper)
