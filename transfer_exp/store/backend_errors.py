"""What goes wrong on the way to an object store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transfer_exp.errors import InputError, one_line


@contextmanager
def reached(url: str) -> Iterator[None]:
    """Say of whatever goes wrong on the way to an object store which one it was.

    Raises
    ------
    FileNotFoundError, FileExistsError
        As they are: answers, not failures.
    InputError
        For all else: no leave, no such bucket, no network, each client has errors of its own.
    """
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except Exception as error:
        reason = one_line(str(error)) or type(error).__name__
        raise InputError(f"cannot use the store {url} ({reason}): see to it, or set store=FOLDER") from error
