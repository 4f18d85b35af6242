"""Features of a model on a dataset: extracted in one pass, cached in the store, or loaded from the user's arrays."""
