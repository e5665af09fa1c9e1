"""Sentiment labels for Chinese product reviews in a SQL database."""

__version__ = "0.1.0"
