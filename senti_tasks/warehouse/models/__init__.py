"""What models are trained from, the registry of them, and which of them is in use."""
