"""Images drawn by a program: source tasks of the built-in pool, and target tasks with other classes."""
