"""Scoring runs: pending reviews, plans, shards, staged labels, and the publication of labels."""
