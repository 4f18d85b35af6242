"""Feature sets and the class statistics that metrics and perturbations share."""
