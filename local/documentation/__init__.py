"""The parts of docs/ that are made from the code, and the site that shows docs/."""
