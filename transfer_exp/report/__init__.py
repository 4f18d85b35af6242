"""Tables and figures, for one cell and for a whole sweep."""
