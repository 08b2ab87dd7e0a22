"""Motion from another person's video: their mouth and head, at the system's clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from talkingface.core.errors import InputError
from talkingface.core.progress import tell
from talkingface.core.types import Controls, Motion
from talkingface.face.blink import eye_closure
from talkingface.face.morphable import fit_track, load_mesh478
from talkingface.face.track import smooth_track
from talkingface.face.track_cache import cached_track
from talkingface.systems.headpose.motion.from_audio import FPS, SPACE
from talkingface.systems.headpose.motion.head_poses import make_head
from talkingface.video.image import is_image
from talkingface.video.read import probe, read_frames

LONGEST_PX = 1280


def video_motion(path: Path, controls: Controls) -> Motion:
    """The motion of the person in a video; head pose relative to that person's mean pose. Raises InputError."""
    if is_image(path):
        raise InputError(
            f"{path} is a photo, which holds no motion; give a video or a folder of its pictures, "
            "or for a held head a CSV of angles"
        )
    total = max(1, round(float(probe(path).duration_s or 0) * FPS))

    def frames() -> Iterator[tuple[np.ndarray, float]]:
        for number, frame in enumerate(read_frames(path, fps=FPS, longest_px=LONGEST_PX), 1):
            yield frame.rgb, frame.time_s
            tell("tracking the driver", number, max(total, number))

    track = smooth_track(cached_track(path, frames(), f"{FPS:.3f}fps-{LONGEST_PX}px"))
    fit = fit_track(load_mesh478(), track)
    head = make_head(fit.rotation, fit.scale, fit.translation, track.confidence > 0)
    return Motion(
        space=SPACE,
        expression=(fit.expression * controls.expression_scale).astype(np.float32),
        pose=head.rows * np.float32(controls.pose_scale),
        blink=eye_closure(track.landmarks),
        fps=FPS,
    )
