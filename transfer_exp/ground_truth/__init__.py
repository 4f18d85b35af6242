"""Ground-truth accuracy: what a model reaches once it has been adapted to the target."""
