"""Head pose: angles, voices and tracked heads as pose codes."""
