"""Benchmarks; ``python -m benchmarks`` compares the speed of our metrics with the published algorithms."""
