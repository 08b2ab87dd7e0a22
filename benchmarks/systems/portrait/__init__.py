"""Measurements of `portrait`."""

TARGETS = {"picture": "benchmarks.systems.portrait.picture:picture"}
