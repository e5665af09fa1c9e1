"""The TF-IDF classifier: character n-grams in, logits out. It needs numpy only, and its files are plain data."""
