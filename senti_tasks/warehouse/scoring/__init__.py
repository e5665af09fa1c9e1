"""Scoring runs: what is pending, the plan, shards and their staged labels, and the publication."""
