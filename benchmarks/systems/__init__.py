"""A folder for each system that has measurements of its own."""
