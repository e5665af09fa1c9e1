"""Measurements of scoring and training speed on this machine, compared with tutorials and other engines."""
