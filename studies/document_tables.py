"""Generated tables inside a document that people write."""

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


def with_tables(page: Path, makers: Mapping[str, Maker]) -> str:
    """Return the text of a document with its tables made anew.

    Parameters
    ----------
    page
        A table begins with ``<!-- table: NAME ARGUMENT ... -->`` and ends with ``<!-- end -->``.
    makers
        By NAME: takes the arguments, and returns Markdown.

    Raises
    ------
    InputError
        When the document cannot be read; for a table of an unknown name or with arguments that it does not take; as
        its maker.
    """

    def fill(match: re.Match[str]) -> str:
        name, *arguments = match[2].split()
        if name not in makers:
            raise InputError(f"{page} asks for a table '{name}': {suggestion(name, makers)}")
        try:
            signature(makers[name]).bind(*arguments)
        except TypeError as error:
            raise InputError(f"{page}: table '{name}' is asked for wrongly ({error}): correct its arguments") from error
        return f"{match[1]}{makers[name](*arguments)}\n{match[3]}"

    return _BLOCK.sub(fill, read_text(page))
