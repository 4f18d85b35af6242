"""Write the page of a reproduction: ``python -m transfer_exp.report.reproduction SCORES.csv --pool POOL``.

Beside the scores, which a sweep ``paper_...`` writes; with it ``measures.csv``, every measure of every cell.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from transfer_exp.types import InputError


def main() -> int:
    """Write the page that the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m transfer_exp.report.reproduction", description=__doc__)
    parser.add_argument("scores", type=Path, metavar="SCORES.csv", help="rows of a grid of scores")
    parser.add_argument("--pool", required=True, help="of the published accuracies, group1_supervised_cnn11 say")
    asked = parser.parse_args()
    try:
        from transfer_exp.report.reproduction.writing import write_reproduction

        for path in write_reproduction(asked.scores, asked.pool):
            print(f"wrote {path}")
    except (InputError, OSError) as error:
        print(f"transfer_exp: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
