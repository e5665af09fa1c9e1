"""Judges a candidate against its references: evaluation, gate, intervals, calibration, slices, suspect labels."""
