"""The version of the package, which results and keys of the store hold: beside what imports everything else."""

__version__ = "0.1.0"
