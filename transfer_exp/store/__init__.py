"""A content-addressed folder: what was computed once, under the key of everything that decides its value."""

from transfer_exp.io.atomic import digest, write_atomically, write_text
from transfer_exp.store.array_file import Arrays
from transfer_exp.store.backend import Place, place_at
from transfer_exp.store.file_lock import FileLease
from transfer_exp.store.store import Store

__all__ = ["Arrays", "FileLease", "Place", "Store", "digest", "place_at", "write_atomically", "write_text"]
