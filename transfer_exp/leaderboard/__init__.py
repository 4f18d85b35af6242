"""Leaderboard: where a metric stands among all metrics and perturbations, from rows that ship with the package."""
