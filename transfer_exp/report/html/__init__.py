"""Page of a run or a sweep: one HTML file that a browser opens from disk, without a network."""
