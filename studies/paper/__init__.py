"""Tables of docs/reproduction.md: results of the paper and its predecessors, and the cost of a reproduction."""
