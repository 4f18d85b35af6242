"""The commands, and everything that knows Hydra."""
