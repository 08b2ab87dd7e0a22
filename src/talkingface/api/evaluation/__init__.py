"""Scoring of generated videos, and of systems on real clips."""
