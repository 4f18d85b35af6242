"""A study of a pool as a page: what perturbations do to rankings, from stored accuracies and stored scores."""
