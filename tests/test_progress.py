"""Progress: what a command shows while it works, on a terminal and elsewhere."""

from __future__ import annotations

import io
import logging
import re
import sys
import time

from transfer_exp import progress
from transfer_exp.progress import phase, progress_bars, show_progress, silent, track


class FakeTerminal(io.StringIO):
    def isatty(self):
        return True


def test_phases_are_silent_without_a_display(capsys):
    phase("loading")
    track("features", 3)()
    with progress_bars(2, "models") as (start_bar, advance):
        assert start_bar is silent
        advance()
    assert capsys.readouterr() == ("", "")


def test_a_line_names_the_models_the_phase_and_the_rest_of_the_budget():
    with show_progress(), progress_bars(26, "photos: models", budget=90.0) as (start_bar, advance):
        advance()
        start_bar("features of vit", 10)()
        line = progress._display.line()
    assert line.startswith("photos: models 1/26, features of vit 1/10 (0:00), 1:")
    assert line.endswith(" of the budget left")


def test_the_phase_returns_after_the_last_step():
    with show_progress():
        phase("scoring vit")
        advance = track("features of vit", 2)
        advance()
        assert progress._display.line().startswith("features of vit 1/2")
        advance()
        assert progress._display.line().startswith("scoring vit (")
        advance()  # of a bar that is gone


def test_without_a_terminal_a_line_comes_at_intervals_and_none_after_the_end(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_INTERVAL", 0.02)
    with show_progress():
        phase("loading torch")
        deadline = time.monotonic() + 10
        while not (text := capsys.readouterr().err) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert text.startswith("loading torch (0:00)\n")
    capsys.readouterr()
    time.sleep(0.06)
    assert capsys.readouterr().err == ""


def open_terminal(monkeypatch):
    """Replace both streams by a terminal of 80 columns; not a fixture, because pytest sets the streams after those."""
    stream = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdout", stream)
    for name, value in {"COLUMNS": "80", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    return stream


def test_a_terminal_shows_phase_and_budget_in_80_columns(monkeypatch):
    terminal = open_terminal(monkeypatch)
    with show_progress(), progress_bars(26, "photos: models", budget=600.0) as (start_bar, advance):
        advance()
        start_bar("features of vit_base_patch16_224.augreg2_in21k_ft_in1k", 100)()
        progress._display._bars.refresh()
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split("[\r\n]+", terminal.getvalue())]
    assert any("1/26" in line and "of the budget left" in line for line in lines), lines
    assert any("1/100" in line for line in lines)
    assert all(len(line) <= 80 for line in lines)


def test_log_messages_and_prints_stay_out_of_the_bars(monkeypatch):
    terminal = open_terminal(monkeypatch)
    logger = logging.getLogger("transfer_exp")
    handler = logging.StreamHandler(terminal)
    monkeypatch.setattr(logger, "handlers", [handler])
    with show_progress():
        phase("scoring")
        assert handler.stream is not terminal
        logger.warning("a model is skipped")
        print("an image is grey")
    assert handler.stream is terminal
    assert "a model is skipped\n" in terminal.getvalue()
    assert "an image is grey\n" in terminal.getvalue()


def test_quiet_shows_nothing_and_an_inner_display_is_the_outer_one():
    with show_progress(quiet=True):
        assert progress._display is None
    with show_progress():
        outer = progress._display
        with show_progress():
            assert progress._display is outer
        assert progress._display is outer
    assert progress._display is None
