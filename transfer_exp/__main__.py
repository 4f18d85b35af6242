"""Run the command line as ``python -m transfer_exp``.

Without arguments it runs the default experiment; the program ``transfer-exp`` shows its help instead. Otherwise the two
are the same.
"""

from __future__ import annotations

import sys

from transfer_exp.cli import main as command_line


def main() -> int | None:
    """Run the command of the process, or the default experiment; see `transfer_exp.cli.main.main`."""
    return command_line.main(without_arguments="run")


if __name__ == "__main__":
    sys.exit(main())
