"""A content-addressed folder: what was computed once, under the key of everything that decides its value."""

from transfer_exp.io.atomic import digest, write_atomically, write_text
from transfer_exp.store.array_file import Arrays
from transfer_exp.store.backend import Backend, open_backend
from transfer_exp.store.file_lock import FileLease
from transfer_exp.store.store import Store

__all__ = ["Arrays", "Backend", "FileLease", "Store", "digest", "open_backend", "write_atomically", "write_text"]
