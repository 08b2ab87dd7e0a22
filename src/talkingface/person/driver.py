"""Motion from a video of another person: mouth, eyes and head, for systems with space mesh478."""

from __future__ import annotations

from talkingface.clips.source import open_clip
from talkingface.clips.tracked import track_clip
from talkingface.core.types import Clip, Controls, Motion, Photo
from talkingface.face.mesh478_motion import RestingHead, driven_motion
from talkingface.person.clip import FPS, LONGEST_PX


def video_motion(source: Photo | Clip, controls: Controls, head: RestingHead | None = None) -> Motion:
    """The motion of the person in a video, for an avatar whose head rests as `head` says. Raises InputError."""
    clip = open_clip(source, "what drives a face")
    track = track_clip(clip, fps=FPS, longest_px=LONGEST_PX, stage="tracking the driver", upright=True).track
    return driven_motion(track, FPS, controls, head)
