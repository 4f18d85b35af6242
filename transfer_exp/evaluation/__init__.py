"""Agreement of scores with accuracies: correlations, selection measures, intervals, tests and search."""
