"""A video's face as data: landmarks, head pose, blink; and as a picture to check them by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkingface.api.animation import check_container
from talkingface.clips.source import open_media
from talkingface.core.cache import check_apart
from talkingface.core.checks import check_face_index
from talkingface.core.device import configure_process
from talkingface.core.progress import report_progress
from talkingface.core.timing import num_frames
from talkingface.core.types import Photo, Track

PREVIEW_FPS = 25.0
_DOT_RGB, _FILLED_RGB = (60, 230, 120), (255, 90, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedFace:
    """One face through a video.

    `track`: 478 points a frame with times and confidence; `angles_deg` float32 [T, 3]: yaw (positive: to the viewer's
    right), pitch (up), roll (clockwise for the viewer); `blink` float32 [T, 1] in [0, 1] (1: closed); `notes`: what
    the user should know about parts that were lost.
    """

    track: Track
    angles_deg: np.ndarray
    blink: np.ndarray
    notes: tuple[str, ...] = ()

    def save(self, path: str | Path) -> Path:
        """Write everything as an .npz file of plain arrays. Raises OutputError."""
        from talkingface.clips.tracked import save_track

        save_track(path, self.track, notes=self.notes, angles_deg=self.angles_deg, blink=self.blink)
        return Path(path)


def track(video: str | Path, *, face_index: int | None = None, preview: str | Path | None = None) -> TrackedFace:
    """Track the face in a video (or photo): every frame, gaps filled.

    `preview` names a video that shows the points over the pictures; filled-in ones are red. Raises InputError,
    FaceError, OutputError.
    """
    from talkingface.clips.tracked import track_clip
    from talkingface.face.blink import eye_closure
    from talkingface.face.camera import euler_degrees
    from talkingface.face.morphable import fit_track, load_mesh478
    from talkingface.face.track import track_image

    configure_process()
    check_face_index(face_index)
    if preview is not None:
        check_apart((preview,), (video,))
        preview = check_container(preview)
    source = open_media(video)
    if isinstance(source, Photo):
        face = track_image(source.opaque(), face_index)
        notes, has_audio = (*source.notes, *face.notes), False
        found = Track.still(face.landmarks, (face.rgb.shape[1], face.rgb.shape[0]))
    else:
        tracked = track_clip(source, face_index=face_index, cached=False)
        notes = (*tracked.notes, *tracked.gap_notes("points there are only interpolated", "they are interpolated"))
        found, has_audio = tracked.track, source.info.has_audio
    if preview is not None and source.path is not None:
        _write_preview(source.path, found, preview, has_audio)
    return TrackedFace(
        track=found,
        angles_deg=np.asarray(euler_degrees(fit_track(load_mesh478(), found).rotation), np.float32),
        blink=eye_closure(found.landmarks),
        notes=notes,
    )


def _write_preview(path: Path, found: Track, preview: Path, has_audio: bool) -> None:
    import cv2

    from talkingface.video.read import read_frames
    from talkingface.video.write import VideoWriter

    sound = path if has_audio else None
    with VideoWriter(preview, found.size, PREVIEW_FPS, sound=sound) as writer:
        total, present = num_frames(float(found.times_s[-1]), PREVIEW_FPS), found.present
        for number, frame in enumerate(read_frames(path, fps=PREVIEW_FPS)):
            report_progress("drawing the preview", number, total)
            row = max(0, int(np.searchsorted(found.times_s, frame.time_s, side="right")) - 1)
            colour = _DOT_RGB if found.confidence[row] > 0 else _FILLED_RGB
            picture = np.ascontiguousarray(frame.rgb)
            shown = found.landmarks[row, :, :2] if present[row] else ()
            for x, y in shown:
                cv2.circle(picture, (round(float(x)), round(float(y))), 1, colour, -1, cv2.LINE_AA)
            writer.write(picture)
