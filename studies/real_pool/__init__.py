"""Study of 23 real networks: the effect of perturbing the features on the ranking of models."""
