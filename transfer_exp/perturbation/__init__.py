"""Perturbations: a seeded map of features and labels to features."""
