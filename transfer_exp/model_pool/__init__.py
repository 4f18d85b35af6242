"""Model pools: the candidates ranked together, each loadable with its own weights and preprocessing."""
