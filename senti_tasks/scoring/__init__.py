"""Scoring: a model and texts in, probabilities out. It uses no SQL, and needs torch, transformers and numpy only."""
