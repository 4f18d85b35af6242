"""Results of a cell, of a search and of a plan."""
