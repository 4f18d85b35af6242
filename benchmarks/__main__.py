"""Compare the speed of every metric with its reference: ``python -m benchmarks [--only sfda] [--rows FILE.csv]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.cases import CASES, SHAPES, parse_shape
from benchmarks.measure import measure, write_rows
from transfer_exp.leaderboard.costs import synthetic_features, synthetic_source_probabilities


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--shapes", type=parse_shape, nargs="+", default=SHAPES, metavar="N,D,C", help="of synthetic features"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="comparisons whose name begins like this")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each function")
    parser.add_argument("--max-seconds", type=float, default=30.0, help="largest total time of each function")
    parser.add_argument("--rows", type=Path, metavar="FILE.csv", help="file of the rows; older ones are replaced")
    return parser.parse_args()


def main() -> int:
    """Measure, print every row, and return 1 if ours and a reference differ."""
    options, errors = parse_arguments(), []
    for samples, dim, classes in options.shapes:
        features, labels = synthetic_features(samples, dim, classes)
        inputs = {"features": features, "source_probabilities": synthetic_source_probabilities(features)}
        for case in CASES:
            if samples > case.max_samples or (options.only and not case.name.startswith(tuple(options.only))):
                continue
            size = (samples, dim, classes)
            row = measure(case, inputs[case.input_name], labels, size, options.repeats, options.max_seconds)
            print(
                f"{row.case:40} {size!s:18} {row.ratio:7.3g} x  {row.ours_s:.3g} s : {row.reference_s:.3g} s  "
                f"runs {row.repeats} : {row.reference_repeats}  difference {row.difference:.1g}",
                flush=True,
            )
            if options.rows:
                write_rows(options.rows, [row])
            if not row.difference <= case.tolerance:
                errors.append(f"{row.case} at {size} differs from its reference by {row.difference:.1g}")
    print(*errors, sep="\n", end="\n" if errors else "", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
