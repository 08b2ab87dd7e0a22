"""The prepared clips that general networks of pictures are trained on, and which frames of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from talkingface.clips.manifest import PreparedClip, prepared_clips
from talkingface.core.types import Track

LEAST_UNIT_PX = 38  # distance of the outer eye corners below which a face is too small to learn from


def choose_clips(prepared: Path, split: str, most: int) -> list[PreparedClip]:
    """At most `most` clips of a split in which somebody speaks: one of each person first, then second ones, and so on.

    Many people matter more than much of one.
    """
    turn: dict[str, int] = {}
    ranked = []
    for clip in prepared_clips(prepared, split):
        if clip.speaks:
            # the anchors of the word clips are not told apart: each clip may be of another person
            person = clip.slug if "arabic" in clip.slug else clip.identity
            turn[person] = turn.get(person, 0) + 1
            ranked.append((turn[person], clip.slug, clip))
    return [clip for _, _, clip in sorted(ranked, key=lambda row: row[:2])[:most]]


def load_faces(clip: PreparedClip) -> tuple[Track, np.ndarray]:
    """The track of a clip, and which of its frames show the face and are not held back: bool [T]."""
    track = clip.load_track()
    return track, (track.confidence > 0) & clip.free(len(track))
