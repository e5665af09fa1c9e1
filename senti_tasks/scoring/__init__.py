"""A model and texts in, probabilities out, as fast as the machine can. Knows no SQL, and imports on a machine that has
torch, transformers and numpy only."""
