"""Fill the generated tables of a Markdown document."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import TypeAlias

from transfer_exp.errors import InputError, suggestion
from transfer_exp.io.text import read_text

_BLOCK = re.compile(r"(<!-- table: ([^>]*) -->\n).*?(<!-- end -->)", re.DOTALL)
Maker: TypeAlias = Callable[..., str]


def fill_tables(page: Path, makers: Mapping[str, Maker]) -> str:
    """Return the text of a document with new contents in its table blocks.

    Args:
        page: Document; a block begins with ``<!-- table: NAME ARGUMENT ... -->`` and ends with ``<!-- end -->``.
        makers: Functions by NAME that take the arguments of a block and return Markdown.

    Raises:
        InputError: When the document cannot be read, or a block has an unknown name or wrong arguments.
    """

    def fill(match: re.Match[str]) -> str:
        name, *arguments = match[2].split()
        if name not in makers:
            raise InputError(f"{page} asks for a table '{name}': {suggestion(name, makers)}")
        try:
            signature(makers[name]).bind(*arguments)
        except TypeError as error:
            raise InputError(f"{page}: table '{name}' has wrong arguments ({error}): correct its comment") from error
        return f"{match[1]}{makers[name](*arguments)}\n{match[3]}"

    return _BLOCK.sub(fill, read_text(page))
