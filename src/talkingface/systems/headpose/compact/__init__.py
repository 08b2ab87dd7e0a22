"""The compact variant: one network of 0.46 million parameters over bent frames."""
