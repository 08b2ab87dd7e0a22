"""Motion as a drawing of its landmarks, to look at before a face is drawn with it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from talkingface.api.animation import check_container
from talkingface.api.encode import EncoderThread
from talkingface.api.inputs import Speech, SpeechSource
from talkingface.core.cache import check_apart
from talkingface.core.digest import array_digest
from talkingface.core.errors import UsageError
from talkingface.core.motion import cut_motion
from talkingface.core.motion_space import MotionSpace
from talkingface.core.progress import report_progress
from talkingface.core.registry import get_spec, import_attribute, system_names
from talkingface.core.types import Frames, Motion

SIZE_PX = 512
_PIECE = 32
_WITHHELD = {"mark": "points on a plain ground, which show no person"}


def write_preview(
    path: str | Path,
    motion: Motion,
    *,
    speech: SpeechSource | None = None,
    sound_track: int | None = None,
    numbers: bool = False,
) -> Path:
    """Write a video of the 68 landmarks of `motion`, seen from the front without the head's pose, with the sound of
    `speech`; `numbers` writes the points' numbers beside them.

    Raises UsageError for motion whose space has no landmarks, OutputError, SpeechError.
    """
    import numpy as np

    from talkingface.face.landmarks68 import plot_landmarks
    from talkingface.trust.credentials import Statement, sign_result
    from talkingface.video.write import write_result

    make = landmarks_of(_space_of(motion))
    path = check_container(path)
    check_apart((path,), () if speech is None else (speech,))
    if speech is not None and not Speech(speech, sound_track).is_stored:
        raise UsageError("a preview takes its sound from a file or an Audio, not from pieces")
    job = array_digest([motion.expression, *(() if motion.blink is None else (motion.blink,))])
    sign = partial(sign_result, statement=Statement(system="motion", job=job, withheld=_WITHHELD))
    writer = write_result(
        path, motion.fps, system="motion", weights="", size=(SIZE_PX, SIZE_PX), withheld=_WITHHELD, sound=speech,
        sound_track=sound_track, sign=sign,
    )  # fmt: skip
    with writer, EncoderThread(writer) as encoder:
        for first in range(0, len(motion), _PIECE):
            points = make(cut_motion(motion, first, first + _PIECE))
            drawn = [plot_landmarks(each, SIZE_PX, numbers=numbers) for each in points]
            encoder.put(Frames(rgb=np.stack(drawn), start=first))
            report_progress("drawing landmarks", first + len(drawn), len(motion))
    return path


def landmarks_of(space: MotionSpace):
    """What makes 68 points [T, 68, 3] of a `Motion` in this space. Raises UsageError where nothing can."""
    if not space.landmarks:
        raise UsageError(f"motion in space {space.name!r} has no landmarks to draw; see: talkingface systems")
    return import_attribute(space.landmarks)


def _space_of(motion: Motion) -> MotionSpace:
    """The space of a motion, as some system here declares it."""
    for spec in map(get_spec, system_names()):
        for space in (spec.motion_space, *spec.other_spaces):
            if space.name == motion.space:
                return space
    raise UsageError(f"no system here knows motion in space {motion.space!r}; see: talkingface systems")
