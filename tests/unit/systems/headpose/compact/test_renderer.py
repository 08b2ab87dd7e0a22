"""From motion to pictures: what of the clip's frames is shown with which motion."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from talkingface.core.types import Controls, Frames, Motion
from talkingface.person.heads import make_head
from talkingface.systems.headpose.compact.renderer import ClipMotion, CompactRenderer, load_compact

COUNT = 6
FRAME = np.arange(COUNT, dtype=np.float32)


class Recorder:
    """Draws nothing; keeps the motion that it is given."""

    def __init__(self) -> None:
        self.drawn: list[Motion] = []
        self.first = 0

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        self.drawn, self.first = list(motions), first
        return iter(())


def _clip() -> ClipMotion:
    """Every frame tells its number: lids, eyes and brows rise with it, and the head shifts to the right."""
    shift = np.stack([100 + FRAME, 0 * FRAME, 0 * FRAME], 1).astype(np.float64)
    head = make_head(np.repeat(np.eye(3)[None], COUNT, 0), np.full(COUNT, 50.0), shift, np.ones(COUNT, bool))
    return ClipMotion(
        head=head, brows=np.repeat(FRAME[:, None], 4, 1), lids=FRAME / 10, look=np.stack([FRAME, -FRAME], 1) / 100
    )


CLIP = _clip()


def _motion(source: list[float] | None, count: int = 3, start: int = 0, blink: float | None = None) -> Motion:
    count = count if source is None else len(source)
    return Motion(
        space="mesh478",
        expression=np.full((count, 20), 7, np.float32),
        pose=np.full((count, 6), 0.1, np.float32),
        blink=None if blink is None else np.full((count, 1), blink, np.float32),
        source=None if source is None else np.array(source, np.float32)[:, None],
        fps=25,
        start=start,
    )


def _drawn(motion: Motion, controls: Controls | None = None) -> Motion:
    recorder = Recorder()
    list(CompactRenderer(recorder, CLIP, controls or Controls()).frames(iter([motion]), 2))
    assert recorder.first == 2
    (found,) = recorder.drawn
    return found


def _frames_shown(motion: Motion) -> np.ndarray:
    assert motion.blink is not None
    return motion.blink[:, 0] * 10


def test_lids_eyes_and_brows_are_those_of_the_clips_frames_and_the_mouth_is_spoken() -> None:
    drawn = _drawn(_motion([4, 0, 2.5]))
    np.testing.assert_allclose(_frames_shown(drawn), [4, 0, 2.5], atol=1e-5)
    assert (drawn.expression[:, :16] == 7).all()
    np.testing.assert_allclose(drawn.expression[:, 16:], np.repeat([[4.0], [0], [2.5]], 4, 1), atol=1e-5)
    assert drawn.pose is not None and (drawn.pose == np.float32(0.1)).all()
    assert drawn.gaze is not None  # in the room: eyes go with the head
    np.testing.assert_allclose(drawn.gaze, np.array([[0.04, -0.04], [0, 0], [0.025, -0.025]]) + (-0.1, 0.1), atol=1e-6)


def test_source_poses_play_the_clip_to_and_fro_whatever_the_motion_says() -> None:
    drawn = _drawn(_motion([4.0] * 9, blink=1.0), Controls(pose="source"))
    played = [0, 1, 2, 3, 4, 5, 4, 3, 2]
    np.testing.assert_allclose(_frames_shown(drawn), played, atol=1e-5)
    assert drawn.pose is not None
    np.testing.assert_allclose(drawn.pose, CLIP.head.rows[played], atol=1e-6)


def test_motion_that_names_no_frame_and_no_lids_gets_those_of_the_clip_as_it_plays() -> None:
    np.testing.assert_allclose(_frames_shown(_drawn(_motion(None, start=4))), [4, 5, 4], atol=1e-5)


def test_motion_with_lids_of_its_own_is_drawn_as_it_is() -> None:
    motion = _motion(None, blink=0.3)
    assert _drawn(motion) is motion


def test_eyes_can_be_kept_open_and_still() -> None:
    drawn = _drawn(_motion([5, 5]), Controls(blink=0.0, gaze=0.0))
    assert not _frames_shown(drawn).any()
    assert drawn.gaze is not None
    np.testing.assert_allclose(drawn.gaze, [[-0.1, 0.1]] * 2, atol=1e-6)


def test_other_tensors_are_refused() -> None:
    with pytest.raises((KeyError, ValueError)):
        load_compact({"clip.lids": np.zeros(3, np.uint8)})
