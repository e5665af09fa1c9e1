"""A candidate and its references in, a verdict out: evaluation, gate, intervals, calibration, slices, suspects."""
