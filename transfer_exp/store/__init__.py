"""A content-addressed folder: what was computed once, under the key of everything that decides its value."""

from transfer_exp.store.array_file import Arrays
from transfer_exp.store.files import digest, write_atomically
from transfer_exp.store.lease import Lease
from transfer_exp.store.store import Store

__all__ = ["Arrays", "Lease", "Store", "digest", "write_atomically"]
