"""A cascade: several models, of which a cheap one answers what it is sure of, and the next ones the rest."""
