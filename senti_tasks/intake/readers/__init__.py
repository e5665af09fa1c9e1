"""Readers: one module per format opens a source and gives its ``Table``. The others find out how to read it."""
