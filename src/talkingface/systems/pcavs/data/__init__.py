"""Training clips, and the sound and pictures that networks are given."""
