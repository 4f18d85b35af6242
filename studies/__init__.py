"""The project's own studies: they import the package, and the package never imports them."""
