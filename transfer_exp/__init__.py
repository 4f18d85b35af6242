"""Transferability estimation: which pretrained model to fine-tune, before fine-tuning any."""

__version__ = "0.1.0"
