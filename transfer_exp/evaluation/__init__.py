"""How well scores predict accuracies: correlations, selection measures, and the band of chance."""
