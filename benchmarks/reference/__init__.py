"""Reference implementations of metrics: each algorithm as its authors describe it, step by step.

They are written for the benchmarks, take float64 features (N, D) and labels 0 .. C-1, and do not check their input.
"""
