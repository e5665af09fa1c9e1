"""The tokenizer of a base model: fitted to its vocabulary, checked, or built from texts."""
