"""Fill the tables of ``docs/reproduction.md``: ``python -m studies.paper.document docs/reproduction.md``.

They need neither images nor networks: published accuracies and correlations ship with the package, and the rows of our
study are in the folder ``results`` next to the document.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from functools import partial
from pathlib import Path

from studies.document_tables import fill_tables
from studies.paper.tables import extraction_cost, ped, pools, real_pool_changes, teaser
from transfer_exp.cli.console import Parser
from transfer_exp.io.atomic import write_text


def fill_page(page: Path) -> str:
    """Return the text of the document with its tables filled.

    Raises:
        InputError: When a block has an unknown name, or rows are missing.
    """
    results = page.parent / "results"
    return fill_tables(
        page,
        {
            "pools": pools,
            "ped": ped,
            "teaser": partial(teaser, results / "teaser_pets.csv"),
            "real_pool_changes": partial(real_pool_changes, results / "real_pool_taus.csv"),
            "extraction_cost": partial(extraction_cost, results / "extraction_cost.csv"),
        },
    )


def main() -> int:
    """Fill the documents of the command line, and return the exit code."""
    parser = Parser(prog="python -m studies.paper.document", description=__doc__)
    parser.add_argument("documents", type=Path, nargs="+", metavar="FILE.md")
    return parser.run(_fill)


def _fill(options: Namespace) -> None:
    for path in options.documents:
        write_text(path, fill_page(path))


if __name__ == "__main__":
    sys.exit(main())
