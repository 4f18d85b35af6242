"""Images drawn by a program: source tasks for the built-in pool, and target tasks that share nothing with them."""
