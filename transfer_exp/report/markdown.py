"""Markdown tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

from transfer_exp.errors import escape_controls


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose entries are neither HTML nor further columns."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_entry, line))} |" for line in lines)


def _entry(text: str) -> str:
    return re.sub(r"<(?=[a-zA-Z/!])", "&lt;", re.sub(r"(?<!\\)\|", r"\|", escape_controls(text)))
