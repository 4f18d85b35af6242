"""Scores and accuracies made elsewhere, put beside each other: ``transfer-exp evaluate``."""
