"""Target datasets: labelled images in train, validation and test splits, and the probe that is scored."""
