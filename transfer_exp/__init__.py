"""Transferability estimation: which pretrained model to fine-tune, before fine-tuning any."""

from transfer_exp import deprecated_names
from transfer_exp.api import rank
from transfer_exp.version import __version__

__all__ = ["__version__", "rank"]

deprecated_names.install()
