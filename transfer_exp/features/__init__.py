"""Features of a model on a target: extracted in one pass, kept in the store, or read from arrays one already has."""
