"""The avatar's clip, and composites of its frames."""
