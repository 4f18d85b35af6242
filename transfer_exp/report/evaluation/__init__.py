"""Scores and accuracies made elsewhere, put beside each other: ``python -m transfer_exp.cli.evaluate``."""
