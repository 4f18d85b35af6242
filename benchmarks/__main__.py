"""Measure every metric against its published algorithm: ``python -m benchmarks [--only sfda] [--rows FILE.csv]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.cases import CASES, SHAPES, shape
from benchmarks.made import made_features, made_source_probabilities
from benchmarks.measure import measured, write_rows


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--shapes", type=shape, nargs="+", default=SHAPES, metavar="N,D,C", help="of the made features")
    parser.add_argument("--only", nargs="+", metavar="WHAT", help="comparisons whose name begins so")
    parser.add_argument("--repeats", type=int, default=5, help="runs of either side")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds after which a side is not run again")
    parser.add_argument("--rows", type=Path, metavar="FILE.csv", help="where to put the rows, replacing older ones")
    return parser.parse_args()


def main() -> int:
    """Measure, print every row as it comes, and return 1 if ours and a reference differ."""
    asked, wrong = arguments(), []
    for samples, dim, classes in asked.shapes:
        features, labels = made_features(samples, dim, classes)
        evidence = {"features": features, "source_probabilities": made_source_probabilities(features)}
        for case in CASES:
            if samples > case.most or (asked.only and not case.what.startswith(tuple(asked.only))):
                continue
            size = (samples, dim, classes)
            row = measured(case, evidence[case.evidence], labels, size, asked.repeats, asked.patience)
            print(
                f"{row.what:40} {size!s:18} {row.ratio:7.3g} x  {row.ours_s:.3g} s : {row.reference_s:.3g} s  "
                f"runs {row.repeats} : {row.reference_repeats}  difference {row.difference:.1g}",
                flush=True,
            )
            if asked.rows:
                write_rows(asked.rows, [row])
            if not row.difference <= case.tolerance:
                wrong.append(f"{row.what} at {size} differs from its reference by {row.difference:.1g}")
    print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
