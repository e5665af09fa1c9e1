"""Reviews in, labels out, every night, in SQL."""

__version__ = "0.1.0"
