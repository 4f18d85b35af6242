"""Progress of long computations: bars on a terminal, and elsewhere a line every half minute.

A command opens one display with `show_progress`. Every phase reports to the display of its process through `phase`,
`track` and `progress_bars`, and is silent without one. A tracker receives the same progress, and the curves of
training, through `listen`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from rich.progress import Task, TaskID

_LINE_INTERVAL = 30.0
"""Seconds between two lines where there is no terminal."""


@runtime_checkable
class Track(Protocol):
    """Function that starts a progress bar."""

    def __call__(self, description: str, total: int) -> Callable[[], object]:
        """Start a bar of ``total`` units, such as ``features of vit``; return the function that advances it by one."""
        ...


@runtime_checkable
class Listener(Protocol):
    """Receiver of the progress of a process, in addition to its display."""

    def progress(self, phase: str | None = None, done: int | None = None, total: int | None = None) -> None:
        """Receive the phase, or the number of models that are done and of all; None is unchanged."""
        ...

    def curve(self, name: str, step: int, values: Mapping[str, float]) -> None:
        """Receive points of curves.

        Args:
            name: Name of the training run, such as ``vit lr=0.001``.
            step: Training step.
            values: Value of each curve, such as ``loss``.
        """
        ...


def silent(description: str, total: int) -> Callable[[], object]:
    """Report no progress: the `Track` for tests and notebooks."""
    return lambda: None


class ProgressDisplay:
    """Bars for the models of a pool and, below them, for the current phase.

    Args:
        lines: Write lines even on a terminal, for processes that share it.
    """

    def __init__(self, lines: bool = False) -> None:
        from rich.progress import Progress  # Imported late: most users of this module only need the `Track` type.

        from transfer_exp.terminal import Terminal

        console = Terminal(stderr=True)
        self._is_live = not lines and (console.is_terminal or console.is_jupyter)
        # Text for a file or a pipe must not go to the terminal of the bars.
        to_terminal = sys.stdout.isatty() or console.is_jupyter
        self._bars = Progress(
            *self._columns(),
            console=console,
            transient=True,
            disable=not self._is_live,
            redirect_stdout=to_terminal,
            expand=True,
        )
        self._models: TaskID | None = None
        self._bar: TaskID | None = None
        self._phase = ""
        self._deadline: float | None = None
        self._is_closed = threading.Event()
        self._streams: list[tuple[logging.StreamHandler[Any], Any]] = []

    def start(self) -> None:
        """Show the bars, or start to write lines."""
        self._bars.start()
        if not self._is_live:
            threading.Thread(target=self._write_lines, daemon=True).start()
            return
        # Log messages would otherwise be written into the bars.
        for handler in [*logging.getLogger().handlers, *logging.getLogger("transfer_exp").handlers]:
            if isinstance(handler, logging.StreamHandler) and getattr(handler.stream, "isatty", bool)():
                self._streams.append((handler, handler.stream))
                handler.setStream(sys.stderr)

    def stop(self) -> None:
        """Remove the bars, or stop to write lines."""
        self._is_closed.set()
        self._bars.stop()
        for handler, stream in self._streams:
            handler.setStream(stream)
        self._streams.clear()

    def start_phase(self, description: str) -> None:
        """Show a phase of unknown length."""
        self._phase = description
        self._replace_bar(description, None)

    def start_bar(self, description: str, total: int) -> Callable[[], object]:
        """Show a step of known length; return the function that advances it by one. The phase follows its last unit."""
        bar = self._replace_bar(description, total)

        def advance() -> None:
            if bar != self._bar:
                return
            self._bars.advance(bar)
            if self._phase and self._bars.tasks[self._bars.task_ids.index(bar)].finished:
                self.start_phase(self._phase)

        return advance

    def _replace_bar(self, description: str, total: int | None) -> TaskID:
        if self._bar is not None:
            self._bars.remove_task(self._bar)
        self._bar = self._bars.add_task(description, total=total)
        return self._bar

    def start_models(self, title: str, total: int, budget: float | None) -> Callable[[], object]:
        """Show the bar of the models; return the function that advances it by one."""
        self._deadline = None if budget is None else time.monotonic() + budget
        self.stop_models()
        self._phase = ""  # it is over
        models = self._models = self._bars.add_task(title, total=total)
        return lambda: self._bars.advance(models)

    def stop_models(self) -> None:
        """Remove the bar of the models."""
        if self._models is not None:
            self._bars.remove_task(self._models)
            self._models = None

    def line(self) -> str:
        """Return the state as text: ``photos: models 3/26, features of vit 4/10 (0:42), 8:30 of the budget left``."""
        tasks = sorted(self._bars.tasks, key=lambda task: task.id != self._models)
        states = [" ".join(filter(None, (task.description, _count(task)))) for task in tasks]
        left = [] if self._deadline is None else [_left(self._deadline)]
        elapsed = f" ({_clock(tasks[-1].elapsed or 0)})" if tasks else ""
        return ", ".join([", ".join(states) + elapsed, *left])

    def _columns(self) -> list[Any]:
        """Return the columns of the bars, which fit into 80 characters."""
        from rich import progress as bars
        from rich.table import Column
        from rich.text import Text

        def state(task: Task) -> Text:
            """Return count, elapsed time, and what is left; that of the budget in the first row."""
            parts = [_count(task), _clock(task.elapsed or 0)]
            if self._deadline is not None:
                parts += [_left(self._deadline)] if task.id == self._bars.tasks[0].id else []
            elif task.total is not None and task.total > 1 and task.time_remaining is not None:
                parts.append(f"about {_clock(task.time_remaining)} left")
            return Text("  ".join(filter(None, parts)))

        class State(bars.ProgressColumn):
            def render(self, task: Task) -> Text:
                return state(task)

        name = bars.TextColumn(
            "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
        )
        return [name, bars.BarColumn(bar_width=12), State(table_column=Column(no_wrap=True))]

    def _write_lines(self) -> None:
        while not self._is_closed.wait(_LINE_INTERVAL):
            print(self.line(), file=sys.stderr, flush=True)


_display: ProgressDisplay | None = None
_listener: Listener | None = None


@contextmanager
def listen(listener: Listener | None) -> Iterator[None]:
    """Send the progress of this process to a listener inside the context."""
    global _listener
    outer, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = outer


def curve(name: str, step: int, values: Mapping[str, float]) -> None:
    """Report points of the curves of a training run, see `Listener.curve`; nothing without a listener."""
    if _listener is not None:
        _listener.curve(name, step, values)


@contextmanager
def show_progress(lines: bool = False, quiet: bool = False) -> Iterator[None]:
    """Open the display of this process for the phases inside the context; an inner context uses the outer display.

    Args:
        lines: Write lines even on a terminal, for processes that share it.
        quiet: Show nothing.
    """
    global _display
    if _display is not None or quiet:
        yield
        return
    _display = ProgressDisplay(lines)
    _display.start()
    try:
        yield
    finally:
        display, _display = _display, None
        display.stop()


@contextmanager
def hide_bars() -> Iterator[None]:
    """Remove the bars inside the context, so that results can be printed."""
    if _display is None:
        yield
        return
    bars = _display._bars
    bars.stop()
    try:
        yield
    finally:
        bars.start()


def phase(description: str) -> None:
    """Show the name of a phase of unknown length, such as ``loading torch``."""
    if _display is not None:
        _display.start_phase(description)
    if _listener is not None:
        _listener.progress(phase=description)


def track(description: str, total: int) -> Callable[[], object]:
    """Start the bar of a phase: the `Track` of the display of this process."""
    if _listener is not None:
        _listener.progress(phase=description)
    return silent(description, total) if _display is None else _display.start_bar(description, total)


@contextmanager
def progress_bars(models: int, title: str, budget: float | None = None) -> Iterator[tuple[Track, Callable[[], object]]]:
    """Show one bar for the models of a pool and, below it, one for the current phase.

    Args:
        models: Number of models in the pool.
        title: Description of the upper bar.
        budget: Seconds that the context may take, None for no limit; what is left of them is shown.

    Yields:
        track : Track: Restarts the lower bar.
        next_model : callable: Advances the upper bar by one.
    """
    if _display is None and _listener is None:
        yield silent, lambda: None
        return
    done, listener = 0, _listener
    advance_bar = silent(title, models) if _display is None else _display.start_models(title, models, budget)

    def advance() -> None:
        nonlocal done
        done += 1
        advance_bar()
        if listener is not None:
            listener.progress(done=done)

    if listener is not None:
        listener.progress(done=0, total=models)
    try:
        yield track, advance
    finally:
        if _display is not None:
            _display.stop_models()


def _count(task: Task) -> str:
    """Return ``3/26``; empty for a phase of one step or unknown length."""
    return "" if task.total is None or task.total <= 1 else f"{task.completed:.0f}/{task.total:.0f}"


def _left(deadline: float) -> str:
    return f"{_clock(max(deadline - time.monotonic(), 0))} of the budget left"


def _clock(seconds: float) -> str:
    """Return ``0:42`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _forget_display() -> None:
    """Leave the terminal and the tracker to the parent.

    A forked process has none of their threads, and perhaps a lock of one of them.
    """
    global _display, _listener
    if _display is not None:
        sys.stdout, sys.stderr = (getattr(s, "rich_proxied_file", s) for s in (sys.stdout, sys.stderr))
    _display = _listener = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_display)
