"""Trains a candidate on a corpus snapshot: base models, fine-tuning, pretraining, search, checkpoints, variants."""
