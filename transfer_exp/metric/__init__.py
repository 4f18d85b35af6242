"""Transferability metrics: features or source probabilities and labels in, one score out, larger better."""
