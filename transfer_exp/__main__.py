"""Run the command line as ``python -m transfer_exp``; ``transfer-exp`` is the same program."""

import sys

from transfer_exp.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
