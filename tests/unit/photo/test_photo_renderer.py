from __future__ import annotations

import itertools
import threading

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faces import mesh_points, person_alpha, psnr, sample_picture, sample_points
from talkingface.core.types import Controls, Frames, Motion
from talkingface.face.morphable import load_mesh478
from talkingface.face.pose import head_box
from talkingface.face.track import track_image
from talkingface.photo.avatar import photo_tensors
from talkingface.photo.photo_renderer import PhotoRenderer, moving_region, open_photo
from talkingface.photo.refine import Refiner
from talkingface.photo.scene import make_scene
from talkingface.systems.portrait.config import preset

MODEL = load_mesh478()


def make_motion(count: int, start: int = 0, seed: int = 0) -> Motion:
    rng = np.random.default_rng(seed)
    rows = slice(start, start + count)
    expression = rng.normal(0, 0.6, (64, MODEL.expression.shape[-1])).astype(np.float32)[rows]
    pose = rng.normal(0, 0.03, (64, 6)).astype(np.float32)[rows]
    blink = rng.random((64, 1)).astype(np.float32)[rows]
    return Motion(space="mesh478", expression=expression, pose=pose, blink=blink, fps=25, start=start)


def cut_up(motion: Motion, ends: list[int]) -> list[Motion]:
    bounds = [0, *sorted(ends), len(motion)]
    return [
        Motion(
            space=motion.space, expression=motion.expression[a:b], pose=motion.pose[a:b], blink=motion.blink[a:b],
            fps=motion.fps, start=motion.start + a,
        )
        for a, b in itertools.pairwise(bounds)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def refiner() -> Refiner:
    return Refiner({}, preset("tiny").refiner)


def make_renderer(refiner: Refiner, **controls) -> PhotoRenderer:
    rgb = cv2.resize(sample_picture(), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    points = sample_points() * np.float32(0.5)
    return PhotoRenderer(
        open_photo(photo_tensors(rgb, None, points), controls.get("background", "keep")), refiner, Controls(**controls)
    )


def gathered(frames: list[Frames]) -> np.ndarray:
    return np.concatenate([piece.rgb for piece in frames])


def test_pictures_do_not_depend_on_how_the_motion_arrives(refiner):
    renderer = make_renderer(refiner)
    motion = make_motion(19)
    whole = list(renderer.frames(iter([motion])))
    assert [piece.start for piece in whole] == [0, 8, 16]
    assert all(piece.mask is None for piece in whole)
    for ends in ([1, 2, 3], [7, 9], [18]):
        assert np.array_equal(gathered(list(renderer.frames(iter(cut_up(motion, ends))))), gathered(whole))


def test_live_pictures_are_those_of_files_and_come_with_their_motion(refiner):
    wanted = gathered(list(make_renderer(refiner).frames(iter([make_motion(11)]))))
    read, shown = [], []

    def motions():
        for piece in cut_up(make_motion(11), list(range(1, 11))):
            read.append(piece.start)
            yield piece

    before = set(threading.enumerate())
    for frames in make_renderer(refiner, delay="low").frames(motions()):
        assert (frames.start, len(frames), read[-1]) == (len(shown), 1, len(shown))
        assert set(threading.enumerate()) == before
        shown.append(frames)
    assert np.abs(gathered(shown).astype(int) - wanted).max() <= 1
    whole = gathered(list(make_renderer(refiner, delay="low").frames(iter([make_motion(11)]))))
    assert np.array_equal(whole, gathered(shown))


def test_pictures_that_nobody_takes_leave_no_threads(refiner):
    before = set(threading.enumerate())
    frames = make_renderer(refiner).frames(iter([make_motion(40)]))
    next(frames)
    frames.close()
    assert set(threading.enumerate()) == before


def test_a_resumed_job_continues_with_the_same_pictures(refiner):
    renderer = make_renderer(refiner)
    whole = gathered(list(renderer.frames(iter([make_motion(20)]))))
    rest = list(renderer.frames(iter([make_motion(9, 11)])))
    assert rest[0].start == 11
    assert np.array_equal(gathered(rest), whole[11:])


def test_no_motion_is_the_photo(refiner):
    rest = Motion(
        space="mesh478", expression=np.zeros((2, MODEL.expression.shape[-1]), np.float32), pose=None, blink=None, fps=25
    )
    (frames,) = make_renderer(refiner).frames(iter([rest]))
    photo = cv2.resize(sample_picture(), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    assert np.array_equal(frames.rgb[0], frames.rgb[1])
    assert psnr(frames.rgb[0], photo) > 30


def test_what_cannot_move_stays_as_it_was(refiner):
    renderer = make_renderer(refiner)
    photo = cv2.resize(sample_picture(), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    x0, y0, x1, y1 = renderer._region
    still = np.ones(photo.shape[:2], bool)
    still[y0:y1, x0:x1] = False
    for frame in gathered(list(renderer.frames(iter([make_motion(3)])))):
        assert np.array_equal(frame[still], photo[still])


def test_transparent_pictures_have_a_mask(refiner):
    (frames,) = make_renderer(refiner, background="transparent").frames(iter([make_motion(2)]))
    assert frames.mask is not None and frames.mask.shape == frames.rgb.shape[:3]
    assert frames.mask[:, 1, 1].max() < 30 and frames.mask.max() == 255


def test_another_background_replaces_the_old_one(refiner):
    (frames,) = make_renderer(refiner, background="#00ff00").frames(iter([make_motion(1)]))
    assert np.abs(frames.rgb[0, 3, 3].astype(int) - (0, 255, 0)).max() <= 2
    x, y = (sample_points()[1, :2] / 2).astype(int)
    assert np.abs(frames.rgb[0, y, x].astype(int) - (0, 255, 0)).max() > 60


def test_a_head_crop_is_an_even_square(refiner):
    (frames,) = make_renderer(refiner, crop="head").frames(iter([make_motion(1)]))
    _, height, width, _ = frames.rgb.shape
    assert height == width and height % 2 == 0


@given(st.floats(10, 90), st.floats(-20, 300), st.floats(-20, 300))
def test_the_head_box_lies_in_the_picture(unit, x, y):
    x0, y0, x1, y1 = head_box(mesh_points(unit, (x, y)), (256, 200))
    assert 0 <= x0 < x1 <= 256 and 0 <= y0 < y1 <= 200
    assert x1 - x0 == y1 - y0 and (x1 - x0) % 2 == 0


def test_the_moving_region_holds_the_face_and_lies_in_the_picture():
    points = mesh_points(40)
    scene = make_scene(np.full((256, 256, 3), 90, np.uint8), points, person_alpha(points, (256, 256)))
    x0, y0, x1, y1 = moving_region(scene)
    assert 0 <= x0 < points[:, 0].min() and points[:, 0].max() < x1 <= 256
    assert 0 <= y0 < points[:, 1].min() and points[:, 1].max() < y1 <= 256


def test_a_head_is_seen_where_a_far_shift_puts_it(refiner):
    """Three quarters of an eye distance to the right and grown: the face is found there, and nothing tears."""
    renderer = make_renderer(refiner)
    nothing = np.zeros((2, MODEL.expression.shape[-1]), np.float32)
    pose = np.zeros((2, 6), np.float32)
    pose[1] = 0, 0, 0, 0.75, 0, 0.25
    still, moved = gathered(list(renderer.frames(iter([
        Motion(space="mesh478", expression=nothing, pose=pose, blink=None, fps=25)
    ]))))  # fmt: skip
    enlarged = [cv2.resize(picture, None, fx=2, fy=2) for picture in (still, moved)]
    before, after = (track_image(picture).landmarks for picture in enlarged)
    unit = np.linalg.norm(before[33] - before[263])
    assert (after - before)[[6, 168], 0].mean() == pytest.approx(0.75 * unit, rel=0.15)
    assert np.linalg.norm(after[33] - after[263]) / unit == pytest.approx(np.exp(0.25), rel=0.05)


@pytest.mark.parametrize("row", [[10.0] * 3 + [100.0, 100.0, 10.0], [0, 0, 0, -100, -100, -10]])
def test_the_largest_motion_that_a_file_may_hold_is_drawn(refiner, row):
    renderer = make_renderer(refiner, background="transparent")
    expression = np.full((1, MODEL.expression.shape[-1]), 100, np.float32)
    motion = Motion(
        space="mesh478", expression=expression, pose=np.float32([row]), blink=np.ones((1, 1), np.float32), fps=25
    )
    (frames,) = renderer.frames(iter([motion]))
    assert frames.mask is not None and frames.mask.any()


def test_the_mask_shows_the_whole_person_also_where_nothing_moves(refiner):
    """A picture much larger than the head; a far shift in between must leave nothing behind."""
    rgb = cv2.copyMakeBorder(cv2.resize(sample_picture(), (120, 120)), 0, 240, 120, 120, cv2.BORDER_REPLICATE)
    points = sample_points() / np.float32(3) + np.float32([120, 0, 0])
    matte = np.zeros(rgb.shape[:2], np.float32)
    matte[30:, 60:300] = 1
    tensors = photo_tensors(rgb, (255 * matte).astype(np.uint8), points)
    renderer = PhotoRenderer(open_photo(tensors, "transparent"), refiner, Controls(background="transparent"))
    pose = np.zeros((40, 6), np.float32)
    pose[8:12, 3] = 1.0
    nothing = np.zeros((40, MODEL.expression.shape[-1]), np.float32)
    motion = Motion(space="mesh478", expression=nothing, pose=pose, blink=None, fps=25)
    masks = np.concatenate([piece.mask for piece in renderer.frames(iter([motion]))])
    assert (masks[:, 300, 100:260] > 250).all(), "the body below the head"
    assert (masks[12:] == masks[0]).all() and (masks[:, 300, :40] < 5).all()


def test_a_photo_is_opened_once_for_each_background_however_often_it_is_drawn():
    tensors = photo_tensors(sample_picture(), None, sample_points())
    opened = open_photo(tensors)
    again = open_photo({name: value.copy() for name, value in tensors.items()} | {"clip.scale": np.ones(3)})
    assert again is opened
    assert open_photo(tensors, "white") is not opened
    assert open_photo(tensors | {"matte": np.zeros_like(tensors["matte"])}) is not opened
