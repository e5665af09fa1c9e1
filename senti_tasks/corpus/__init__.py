"""Labelled reviews in, a corpus snapshot out: splits, near-duplicates, the leak check, and unlabelled texts.

Knows no SQL: jobs read the rows and hand them over.
"""
