"""Each metric's algorithm as its authors describe it, step by step and no faster: what ours is measured against.

They are written for this benchmark, take float64 features (N, D) and labels 0 .. C-1, and check nothing.
"""
