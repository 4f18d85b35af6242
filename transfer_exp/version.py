"""Version of the package, which is part of results and of store keys; importing it is cheap."""

__version__ = "0.1.0"
