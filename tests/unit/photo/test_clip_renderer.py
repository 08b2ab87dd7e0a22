from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faces import drawn_picture, mesh_points, open_mouth
from talkingface.core.types import Controls, Motion
from talkingface.face.morphable import load_mesh478
from talkingface.face.mouth_measures import mouth_measures
from talkingface.photo.clip_renderer import ClipRenderer, _rings, _triangles
from talkingface.photo.refine import Refiner
from talkingface.systems.portrait.config import preset
from talkingface.video.read import read_frames
from talkingface.video.write import VideoWriter

MODEL = load_mesh478()
COUNT, FPS = 6, 25.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    with VideoWriter(path, (256, 256), FPS, synthetic=None, quality=8) as writer:
        for k in range(COUNT):
            writer.write(np.roll(drawn_picture(), 2 * k, axis=1))
    return path


@pytest.fixture(scope="module")
def refiner() -> Refiner:
    return Refiner({}, preset("tiny").refiner)


def make_renderer(clip: Path, refiner: Refiner, present: np.ndarray | None = None, **controls) -> ClipRenderer:
    fit = {
        "landmarks": np.stack([mesh_points(50, (100 + 2 * k, 120)) for k in range(COUNT)]),
        "expression": np.zeros((COUNT, MODEL.expression.shape[-1]), np.float32),
        "rotation": np.stack([np.eye(3)] * COUNT).astype(np.float32),
        "scale": np.full(COUNT, 50, np.float32),
        "present": np.ones(COUNT, bool) if present is None else present,
    }
    return ClipRenderer(clip, FPS, None, MODEL, fit, refiner, Controls(pose="source", **controls))


def still_motion(count: int, start: int = 0) -> Motion:
    expression = np.zeros((count, MODEL.expression.shape[-1]), np.float32)
    return Motion(space="mesh478", expression=expression, pose=None, blink=None, fps=FPS, start=start)


def render(renderer: ClipRenderer, motion: Motion) -> np.ndarray:
    pieces = list(renderer.frames(iter([motion])))
    assert pieces[0].start == motion.start
    return np.concatenate([piece.rgb for piece in pieces])


def test_a_long_speech_plays_the_clip_forwards_and_backwards(clip, refiner):
    shown = render(make_renderer(clip, refiner), still_motion(20)).astype(int)
    order = [0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5, 4, 3, 2, 1]
    for k, number in enumerate(order):
        distance = [np.abs(shown[k] - shown[n]).mean() for n in range(COUNT)]
        assert int(np.argmin(distance)) == number
        assert distance[number] < 4


def test_live_dubbing_shows_the_same_frame_by_frame(clip, refiner):
    motion = still_motion(10)
    motion.expression[:] = np.linspace(0, 1, 10)[:, None]
    live = list(make_renderer(clip, refiner, delay="low").frames(iter([motion])))
    assert [(piece.start, len(piece)) for piece in live] == [(k, 1) for k in range(10)]
    shown = np.concatenate([piece.rgb for piece in live]).astype(int)
    assert np.abs(shown - render(make_renderer(clip, refiner), motion)).max() <= 1


@pytest.mark.parametrize("start", [3, 9, 14])
def test_a_resumed_dubbing_shows_the_same_frames(clip, refiner, start):
    renderer = make_renderer(clip, refiner)
    whole = render(renderer, still_motion(20)).astype(int)
    rest = render(renderer, still_motion(20 - start, start)).astype(int)
    assert np.abs(rest - whole[start:]).mean() < 1.5


def test_only_the_lower_face_changes(clip, refiner):
    renderer = make_renderer(clip, refiner)
    motion = still_motion(3)
    motion.expression[:] = 1.0
    frames = [frame.rgb for frame in read_frames(clip)]
    window = mesh_points(50, (100, 120))
    low = int(window[:, 1].max()) + 60
    for k, rgb in enumerate(render(renderer, motion)):
        assert np.array_equal(rgb[low:], frames[k][low:])
        assert np.array_equal(rgb[:, 235:], frames[k][:, 235:])


def test_a_head_crop_keeps_its_place(clip, refiner):
    shown = render(make_renderer(clip, refiner, crop="head"), still_motion(2))
    assert shown.shape[1] == shown.shape[2] < 256


def test_rings_follow_the_jaw_and_fade():
    points = mesh_points()
    rest, moved = _rings(points, open_mouth(points, 0.3))
    step = np.linalg.norm(moved - rest, axis=1)
    assert step[:36].max() > 1, "the near ring follows"
    assert step[36:].max() == 0, "the far one stays, so that there is no seam"
    assert _triangles().max() == 478 + 71


def test_frames_without_the_face_pass_as_they_are(clip, refiner):
    motion = still_motion(COUNT)
    motion.expression[:, 0] = 1
    present = np.array([True, False, False, True, True, True])
    dubbed, whole = (render(make_renderer(clip, refiner, rows), motion) for rows in (present, None))
    pictures = [frame.rgb for frame in read_frames(clip, fps=FPS)]
    for k in range(COUNT):
        assert np.array_equal(dubbed[k], whole[k] if present[k] else pictures[k])
        assert not np.array_equal(whole[k], pictures[k])
    nowhere = render(make_renderer(clip, refiner, np.zeros(COUNT, bool)), motion)
    assert np.array_equal(nowhere, pictures)


def test_gains_move_the_mouth_further_from_the_clips_own(clip, refiner):
    plain, wider = make_renderer(clip, refiner), make_renderer(clip, refiner)
    wider._gains = np.float32([1.3, 1.3])
    spoken = np.zeros(MODEL.expression.shape[-1], np.float32)
    spoken[:4] = 1.5
    own = plain._target(0, plain._fit["expression"][0])
    once, more = (r._target(0, spoken) for r in (plain, wider))
    assert np.array_equal(own, wider._target(0, wider._fit["expression"][0])), "the clip's own mouth stays as it is"
    before, after, rest = mouth_measures(once), mouth_measures(more), mouth_measures(own)
    assert ((after - rest)[:2] / (before - rest)[:2] > 1.1).all()
