"""Target datasets: labelled images in train, validation and test splits, and the probe set a model is scored on."""
