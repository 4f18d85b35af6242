"""Our scores of a published pool beside what was printed of it."""
