"""Makes corpus snapshots of labelled reviews: splits, near-duplicates, the leak check; and selects unlabelled texts.

It sends no SQL: jobs pass the rows.
"""
