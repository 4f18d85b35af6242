"""Facts of the paper and of published tables, as tables of docs/reproduction.md."""
