"""Engines: a classifier on a device. Rows of token ids in, logits out."""
