"""Render the pictures of the gallery from stored rows: ``python -m studies.gallery docs/gallery``.

Every picture is output of the package: terminal tables, the pages of a run and of a sweep, and both figures. The rows
are those of the built-in pool, so nothing is trained. Pages are drawn by Chromium.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console, RenderableType

from studies.stored_rows_pages import read_result_rows
from transfer_exp.cli.console import Parser
from transfer_exp.errors import InputError
from transfer_exp.report.html.page import write_page
from transfer_exp.report.ranking_table import ranking_table
from transfer_exp.report.record import write_record
from transfer_exp.report.scatter import scatter
from transfer_exp.report.sweep_cells import collect
from transfer_exp.report.sweep_figure import sweep_figure
from transfer_exp.report.sweep_table import change_table, sweep_table

ROWS = Path(__file__).parents[1] / "docs" / "results" / "builtin_pool.csv"
RUN = {"dataset": "textures", "perturbation": "pca", "metric": "logme"}
"""Cell of the pictures of a single run."""
_FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def write_pictures(folder: Path, browser: str | None) -> list[Path]:
    """Write all pictures and return their paths; without a browser those of pages are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = read_result_rows(ROWS)
    (run,) = (cell for cell in cells if RUN.items() <= cell.cell.items())
    with tempfile.TemporaryDirectory() as temporary:
        sweep, single = Path(temporary) / "builtin_pool", Path(temporary) / "run"
        for number, cell in enumerate(cells):
            write_record(cell, {}, sweep / str(number))
        write_record(run, {}, single)
        frame = collect(sweep)
        changes = change_table(frame)
        written = [
            write_terminal(ranking_table(run), "transfer-exp run", folder / "run_terminal.svg"),
            write_terminal(sweep_table(frame), "transfer-exp run -m", folder / "sweep_terminal.svg"),
            scatter(run, folder / "scatter.png"),
            sweep_figure(frame, folder / "sweep.png"),
        ]
        if changes is not None:
            written.append(write_terminal(changes, "transfer-exp run -m", folder / "changes_terminal.svg"))
        if browser is not None:
            written.append(write_screenshot(write_page(single), folder / "run_page.png", browser))
            written.append(write_screenshot(write_page(sweep, frame), folder / "sweep_page.png", browser))
    return written


def write_terminal(table: RenderableType, title: str, path: Path) -> Path:
    """Write what a terminal of 80 columns shows as SVG, without fonts from the network, and return the path."""
    console = Console(record=True, width=80, file=StringIO(), force_terminal=True)
    console.print(table)
    svg = console.export_svg(title=title, unique_id=path.stem)
    path.write_text(_FONTS.sub("", svg), encoding="utf-8")
    return path


def write_screenshot(page: Path, path: Path, browser: str) -> Path:
    """Write the first screen of a page as PNG, 1200 pixels wide, and return the path.

    Raises:
        InputError: If the browser writes no picture.
    """
    options = [
        "--headless",
        "--no-sandbox",
        "--hide-scrollbars",
        "--window-size=1200,900",
        "--virtual-time-budget=5000",
    ]
    command = [
        browser,
        *options,
        "--virtual-time-budget=5000",
        f"--screenshot={path.absolute()}",
        page.absolute().as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if not path.is_file():
        raise InputError(f"{browser} wrote no picture ({done.stderr.strip()[-200:]}): install another version")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pictures, and return the exit code."""
    parser = Parser(prog="python -m studies.gallery", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    return parser.run(_write, arguments)


def _write(options: Namespace) -> None:
    browser = shutil.which("chromium")
    for path in write_pictures(options.folder, browser):
        print(f"wrote {path}")
    if browser is None:
        raise InputError("the pictures of pages are left out: install chromium")


if __name__ == "__main__":
    sys.exit(main())
