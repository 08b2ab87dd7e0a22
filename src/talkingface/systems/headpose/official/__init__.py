"""The published variants of 2020 and 2022."""
