"""The data that models are trained on, the registry of models, and which of them are in use."""
