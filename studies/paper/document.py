"""Rebuild the tables of ``docs/reproduction.md``: ``python -m studies.paper.document FILE.md``.

They need no images and no networks: published accuracies and correlations, and rows of our own that lie beside the
document in ``results``.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from studies.document_tables import Maker, with_tables
from studies.paper.cost import cost
from studies.paper.published_results import ours, ped, pools, teaser
from transfer_exp.cli.console import Parser
from transfer_exp.io.atomic import write_text


def filled(page: Path) -> str:
    """Return the text of the document with its tables made anew.

    Raises
    ------
    InputError
        As `with_tables`; when rows are missing.
    """
    rows = page.parent / "results"
    makers: Mapping[str, Maker] = {
        "pools": pools,
        "ped": ped,
        "teaser": partial(teaser, rows / "teaser_pets.csv"),
        "ours": partial(ours, rows / "real_pool_taus.csv"),
        "cost": partial(cost, rows / "extraction_cost.csv"),
    }
    return with_tables(page, makers)


def main() -> int:
    """Rebuild the documents named on the command line, and return the exit code."""
    parser = Parser(prog="python -m studies.paper.document", description=__doc__)
    parser.add_argument("documents", type=Path, nargs="+", metavar="FILE.md")
    return parser.run(_fill)


def _fill(asked: Namespace) -> None:
    for path in asked.documents:
        write_text(path, filled(path))


if __name__ == "__main__":
    sys.exit(main())
