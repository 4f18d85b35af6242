"""Make the calibrations and their page: ``python -m studies.calibration docs/results/calibration.md``.

Blocks of the page begin with ``<!-- table: NAME -->`` (or ``NAME REGIME``) and end with ``<!-- end -->``. The rows lie
beside it, and its figure is written there; the calibrations go into the package.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from studies.calibration.rows import Rows, read_rows, sources
from studies.calibration.shipped import shipped
from studies.calibration.tables import TABLES
from studies.document_tables import with_tables
from transfer_exp.cli.console import Parser
from transfer_exp.evaluation.expectations import SHIPPED
from transfer_exp.io.atomic import write_text


def filled(page: Path, pools: Mapping[str, Rows]) -> str:
    """Return the text of the page with its blocks filled. Raises `InputError` as `with_tables`."""
    return with_tables(page, {name: partial(maker, pools) for name, maker in TABLES.items()})


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild the calibrations, the page and its figure, and return the exit code.

    Parameters
    ----------

    Arguments
        The command line without the program's name; by default that of the process.

    Returns
    -------
    int
        0, or 1 after one line on stderr when the page or its rows cannot be used or written.
    """
    parser = Parser(prog="python -m studies.calibration", description=__doc__)
    parser.add_argument("page", type=Path, metavar="PAGE.md")
    parser.add_argument("--out", type=Path, default=SHIPPED, metavar="FILE.json", help="of the calibrations")
    return parser.run(_rebuild, arguments)


def _rebuild(asked: Namespace) -> None:
    found = sources(asked.page.parent)
    pools = {name: read_rows(source) for name, source in found.items()}
    first, digest = pools["real_pool"], found["real_pool"].digest
    write_text(asked.page, filled(asked.page, pools))
    write_text(asked.out, shipped(first, digest))
    # Slow to import, and bad rows are said before.
    from studies.calibration.figure import expected_against_reached

    expected_against_reached(first, asked.page.with_suffix(".png"), digest)


if __name__ == "__main__":
    sys.exit(main())
