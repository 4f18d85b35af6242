"""Study of expected accuracies: fits the calibrations of the package and measures their errors on held-out targets."""
