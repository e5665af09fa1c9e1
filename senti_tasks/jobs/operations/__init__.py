"""What keeps the pipeline healthy, and tells people when it is not."""
