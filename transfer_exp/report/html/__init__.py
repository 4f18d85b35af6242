"""A page of a run or a sweep: one file that a browser opens from disk, and that asks nobody for anything."""
