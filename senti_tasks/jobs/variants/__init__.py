"""Builds the variants of a trained model: a task of ``retrain_sentiment``."""

from senti_tasks.jobs.variants.building import build_variants

__all__ = ["build_variants"]
