"""Results of a cell and of a search."""
