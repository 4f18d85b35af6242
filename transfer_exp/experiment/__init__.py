"""Experiments: one cell, a score matrix, a budgeted search, and the precomputation of their inputs."""
