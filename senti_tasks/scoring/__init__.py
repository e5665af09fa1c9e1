"""A model and texts in, probabilities out. Knows no SQL, and imports on a machine that has torch and transformers
only."""
