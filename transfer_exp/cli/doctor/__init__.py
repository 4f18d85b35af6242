"""What is installed, and what can be reached: ``transfer-exp doctor``."""

from transfer_exp.cli.doctor.command import main

__all__ = ["main"]
