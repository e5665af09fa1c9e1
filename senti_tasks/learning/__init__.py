"""Labelled reviews in, a judged model out. Gets folders and plain values; knows neither the warehouse nor settings."""
