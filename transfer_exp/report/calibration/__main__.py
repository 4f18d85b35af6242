"""Make the calibrations and their page: ``python -m transfer_exp.report.calibration docs/results/calibration.md``.

Blocks of the page begin with ``<!-- table: NAME -->`` (or ``NAME REGIME``) and end with ``<!-- end -->``. The rows lie
beside it, and its figure is written there; the calibrations go into the package.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from transfer_exp.evaluation.expectations import SHIPPED
from transfer_exp.report.blocks import with_tables
from transfer_exp.report.calibration.rows import Rows, read_rows, sources
from transfer_exp.report.calibration.shipped import shipped
from transfer_exp.report.calibration.tables import TABLES
from transfer_exp.report.terminal import ending
from transfer_exp.store import write_atomically


def filled(page: Path, pools: Mapping[str, Rows]) -> str:
    """Return the text of the page with its blocks filled. Raises `InputError` as `with_tables`."""
    return with_tables(page, {name: partial(maker, pools) for name, maker in TABLES.items()})


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild the calibrations, the page and its figure, and return the exit code.

    Parameters
    ----------
    arguments
        The command line without the program's name; by default that of the process.

    Returns
    -------
    int
        0, or 1 after one line on stderr when the page or its rows cannot be used or written.
    """
    parser = argparse.ArgumentParser(prog="python -m transfer_exp.report.calibration", description=__doc__)
    parser.add_argument("page", type=Path, metavar="PAGE.md")
    parser.add_argument("--out", type=Path, default=SHIPPED, metavar="FILE.json", help="of the calibrations")
    asked = parser.parse_args(arguments)

    def rebuild() -> None:
        found = sources(asked.page.parent)
        pools = {name: read_rows(source) for name, source in found.items()}
        first, digest = pools["real_pool"], found["real_pool"].digest
        _write(asked.page, filled(asked.page, pools))
        _write(asked.out, shipped(first, digest))
        # Slow to import, and bad rows are said before.
        from transfer_exp.report.calibration.figure import expected_against_reached

        expected_against_reached(first, asked.page.with_suffix(".png"), digest)

    return ending(rebuild)


def _write(path: Path, text: str) -> None:
    write_atomically(path, partial(Path.write_text, data=text, encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
