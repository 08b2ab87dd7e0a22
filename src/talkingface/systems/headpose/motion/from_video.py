"""Motion from another person's video: their mouth and head, at the system's clock."""

from __future__ import annotations

import numpy as np

from talkingface.clips.source import open_clip
from talkingface.clips.tracked import track_clip
from talkingface.core.types import Clip, Controls, Motion, Photo
from talkingface.face.blink import eye_closure
from talkingface.face.morphable import fit_track, load_mesh478
from talkingface.face.track import smooth_track
from talkingface.systems.headpose.motion.from_audio import FPS, SPACE
from talkingface.systems.headpose.motion.head_poses import make_head

LONGEST_PX = 1280


def video_motion(source: Photo | Clip, controls: Controls) -> Motion:
    """The motion of the person in a video; head pose relative to that person's mean pose. Raises InputError."""
    clip = open_clip(source, "what drives a face")
    track = smooth_track(track_clip(clip, fps=FPS, longest_px=LONGEST_PX, stage="tracking the driver").track)
    fit = fit_track(load_mesh478(), track)
    head = make_head(fit.rotation, fit.scale, fit.translation, track.confidence > 0)
    return Motion(
        space=SPACE,
        expression=(fit.expression * controls.expression_scale).astype(np.float32),
        pose=head.rows * np.float32(controls.pose_scale),
        blink=eye_closure(track.landmarks),
        fps=FPS,
    )
