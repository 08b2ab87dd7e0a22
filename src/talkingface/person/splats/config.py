"""Settings of a person made of splats. Defaults exist here only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SplatConfig:
    """How many splats, what moves them, and how they learn."""

    level: int = 2
    """Refinements of the face mesh: a splat for each triangle, 3,592 after one and 14,368 after two."""
    scene: int = 9000
    """Splats of hair, neck and shoulders."""
    basis: int = 24
    """Numbers computed from motion, by which colours and places of all splats are moved."""
    hidden: int = 64
    """Width of the network that computes them, and of the one that moves the body."""
    nodes: int = 14
    """Nodes a side of the lattice by which the body moves."""
    face_px: int = 280
    """Height of the face in the pictures that are learned from; smaller faces are not enlarged."""
    longest_px: int = 1024
    """Longest side of these pictures."""
    most_frames: int = 1500
    """Frames that are learned from, evenly chosen."""
    steps: int = 2500
    lr: float = 0.008
    average: float = 0.98
    """Decay of the moving average of what is learned, which is what the avatar keeps."""


SMALL_FACE = SplatConfig(level=1, scene=2800, basis=10)
"""Enough for a face of 135 pixels, in a megabyte."""
