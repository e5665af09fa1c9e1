"""Builds the tokenizer of a base model, or fits it to its vocabulary and checks it."""
