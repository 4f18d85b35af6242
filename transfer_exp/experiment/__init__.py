"""The conductors: one cell of a study, and the making of the built-in pool."""
