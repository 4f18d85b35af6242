"""Target datasets: labelled images in train, validation and test splits, and the scoring set that is scored."""
