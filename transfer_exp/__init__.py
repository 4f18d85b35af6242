"""Transferability estimation: which pretrained model to fine-tune, before fine-tuning any."""

from transfer_exp.api import rank

__all__ = ["rank"]
__version__ = "0.1.0"
