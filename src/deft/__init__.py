"""Lower the false alarm rate of an optical inspection line with no defect missed (README.md, CONCEPTS.md)."""

__version__ = "0.1.0"
