"""A corpus snapshot in, a candidate out: base models, fine-tuning, pretraining, the search, checkpoints, variants."""
