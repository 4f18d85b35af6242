"""Fit the calibrations and build their page: ``python -m studies.calibration docs/results/calibration.md``.

Generated blocks of the page begin with ``<!-- table: NAME -->`` (or ``NAME REGIME``) and end with ``<!-- end -->``. The
rows are next to the page, and the figure is written there; the calibrations are written into the package.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from studies.calibration.data import PoolData, pool_files, read_pool
from studies.calibration.fit import as_row
from studies.calibration.predictions import fit_on_pool
from studies.calibration.tables import ANCHORS, TABLES, Pools
from studies.document_tables import fill_tables
from transfer_exp.cli.console import Parser
from transfer_exp.evaluation.expected_accuracy import COLUMNS, NO_ANCHOR, SHIPPED_CALIBRATIONS, CalibrationKey
from transfer_exp.io.atomic import write_text


def fill_page(page: Path, pools: Pools) -> str:
    """Return the text of the page with its blocks filled. Raises `InputError` if a block has an unknown name."""
    return fill_tables(page, {name: partial(maker, pools) for name, maker in TABLES.items()})


def calibrations_json(data: PoolData, digest: str) -> str:
    """Return the file of calibrations: a header with the digest of the rows, then one line for each calibration.

    The calibrations are fitted to all targets of the pool but the control.
    """
    rows = [
        json.dumps(as_row(CalibrationKey(regime, anchor or NO_ANCHOR, cell.perturbation, cell.metric), calibration))
        for regime in data.accuracies
        for anchor in ANCHORS
        for cell in sorted(data.cells(), key=lambda c: (c.perturbation, c.metric))
        for calibration in (fit_on_pool(data, regime, cell, anchor),)
    ]
    header = {"digest": digest, "models": len(data.models), "targets": list(data.averaged), "columns": list(COLUMNS)}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in header.items())
    return f'{{\n{lines},\n"rows": [\n' + ",\n".join(rows) + "\n]\n}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the calibrations, the page and its figure, and return the exit code.

    Args:
        arguments: Command line without the program's name; by default the one of the process.

    Returns:
        0; 1 after one line on stderr, when the page or its rows cannot be read or written.
    """
    parser = Parser(prog="python -m studies.calibration", description=__doc__)
    parser.add_argument("page", type=Path, metavar="PAGE.md")
    parser.add_argument(
        "--out", type=Path, default=SHIPPED_CALIBRATIONS, metavar="FILE.json", help="file of the calibrations"
    )
    return parser.run(_build, arguments)


def _build(options: Namespace) -> None:
    files = pool_files(options.page.parent)
    pools = {name: read_pool(pool) for name, pool in files.items()}
    data, digest = pools["real_pool"], files["real_pool"].digest
    write_text(options.page, fill_page(options.page, pools))
    write_text(options.out, calibrations_json(data, digest))
    # Imported late: matplotlib is slow to import, and invalid rows are reported before.
    from studies.calibration.figures import expected_and_reached

    expected_and_reached(data, options.page.with_suffix(".png"), digest)


if __name__ == "__main__":
    sys.exit(main())
