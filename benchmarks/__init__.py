"""Measurements: how fast this machine scores and trains, beside what tutorials and other engines do on it."""
