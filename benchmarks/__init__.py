"""How much faster our metrics are than the algorithms as their authors publish them: ``python -m benchmarks``."""
