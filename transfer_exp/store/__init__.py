"""Content-addressed cache of features, scores and accuracies, in a folder or an object store."""

from transfer_exp.store.backend import Backend, open_backend
from transfer_exp.store.entries import Arrays
from transfer_exp.store.lock import Lock
from transfer_exp.store.store import Store

__all__ = ["Arrays", "Backend", "Lock", "Store", "open_backend"]
