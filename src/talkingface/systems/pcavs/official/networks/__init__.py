"""The published networks, with the published tensor names."""
