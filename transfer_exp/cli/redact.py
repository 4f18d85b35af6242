"""What was typed, as it may be written down."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

SECRET = re.compile("KEY|TOKEN|SECRET|PASSWORD")
"""What the name of a secret contains, in capitals."""
_SHORTEST = 8
"""Characters of a value worth hiding wherever it stands: a shorter one stands in harmless words too."""


def typed(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return a command line of the application for the shell, without secrets.

    Parameters
    ----------
    arguments
        After the program's name.
    environment
        Values of variables with the name of a secret are hidden wherever they stand: the shell may have put one there.
    """
    hidden = {f"${name}": value for name, value in environment.items() if SECRET.search(name.upper())}
    shown = []
    for argument in arguments:
        key, sign, _ = argument.partition("=")
        text = f"{key}=..." if sign and SECRET.search(key.upper()) else argument
        for name, value in hidden.items():
            text = text.replace(value, name) if len(value) >= _SHORTEST else text
        shown.append(text)
    return shlex.join(["python", "-m", "transfer_exp", *shown])
