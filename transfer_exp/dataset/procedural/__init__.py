"""Images drawn by a program: source tasks for the embedded pool, and target tasks that share nothing with them."""
