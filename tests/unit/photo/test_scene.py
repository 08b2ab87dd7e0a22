from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from faces import drawn_picture, mesh_points, open_mouth, person_alpha, psnr, sample_picture, sample_points
from talkingface.photo.composite import Drawer, HiddenMouth
from talkingface.photo.scene import (
    LIDS,
    Rigid,
    face_unit,
    make_scene,
    person_over,
    rigid_between,
    with_face,
)

REST = Rigid(rotation=np.eye(3), scale=1.0, translation=np.zeros(3))

NOTHING_HIDDEN = HiddenMouth(colour=np.zeros(3), share=0.0)


def make_drawn():
    points = mesh_points()
    return make_scene(drawn_picture(), points, person_alpha(points, drawn_picture().shape))


@given(st.integers(0, 2**31))
@settings(max_examples=25)
def test_person_over_background_is_the_picture_again(seed):
    rng = np.random.default_rng(seed)
    rgb, behind = (rng.integers(0, 256, (12, 9, 3), dtype=np.uint8) for _ in range(2))
    alpha = rng.random((12, 9)).astype(np.float32)
    alpha[alpha < 0.1] = 0
    person = person_over(rgb, alpha, behind)
    again = person[..., :3] + behind * (1 - person[..., 3:] / 255.0)
    assert np.abs(again - rgb).max() <= 1.5
    assert (person[..., :3] <= person[..., 3:]).all(), "no light without opacity: it would move as a glow"


def test_black_before_black_is_nobody():
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[4:] = (30, 0, 60)
    assert not person_over(picture, np.zeros((8, 8), np.float32), picture).any()


def test_standing_still_gives_back_the_photo():
    out = np.zeros_like(drawn_picture())
    scene = make_drawn()
    Drawer(scene, NOTHING_HIDDEN).draw(scene.points, REST, out)
    assert psnr(out, drawn_picture()) > 45


def test_standing_still_gives_back_the_sample():
    out = np.zeros_like(sample_picture())
    scene = make_scene(sample_picture(), sample_points())
    Drawer(scene, NOTHING_HIDDEN).draw(scene.points, REST, out)
    assert psnr(out, sample_picture()) > 45


def test_a_moved_face_leaves_no_hole():
    white = np.full((256, 256, 3), 255, np.uint8)
    points = mesh_points()
    scene = make_scene(white, points, np.ones((256, 256), np.float32))
    for turn, shift in (((0, 0.4, 0), (20, 0, 0)), ((0.3, 0, 0), (0, 25, 0)), ((0, 0, 0.3), (-20, -20, 0))):
        centre = points.mean(0)
        rotation = Rotation.from_rotvec(turn).as_matrix()
        rigid = Rigid(rotation=rotation, scale=1.0, translation=centre - rotation @ centre + shift)
        out = np.zeros_like(white)
        opacity = Drawer(scene, NOTHING_HIDDEN).draw(open_mouth(rigid(points)).astype(np.float32), rigid, out)
        assert out.min() >= 254
        assert opacity.min() == 255, "the mesh reaches past the picture, so its edge never shows"


def test_points_follow_the_head_by_their_share():
    scene = make_drawn()
    share, unit = scene.head_share, face_unit(scene.points)
    assert share.min() >= 0 and share.max() <= 1
    x, y = (scene.outer[:, :2] - scene.points[10, :2]).T / unit
    assert share[(np.abs(x) < 1) & (y < 0)].min() > 0.99, "hair above the forehead moves with the head"
    assert share[y > 3.2].max(initial=0) < 1e-6, "shoulders stay"
    assert share[np.abs(x) > 3].max(initial=0) < 1e-6, "so does everything far to the side"
    assert scene.jaw_share.shape == (len(scene.outer), 36) and scene.jaw_share.sum(1).max() <= 1


def test_a_turning_head_leaves_collars_where_they_are():
    scene = make_drawn()
    unit, centre = face_unit(scene.points), scene.points.mean(0).astype(np.float64)
    turn = Rotation.from_euler("y", 25, degrees=True).as_matrix()
    rigid = Rigid(rotation=turn, scale=1.0, translation=centre - turn @ centre)
    vertices, shown = scene.pose(rigid(scene.points.astype(np.float64)).astype(np.float32), rigid)
    moved = np.linalg.norm(vertices[:, :2] - shown, axis=1)[-len(scene.outer) :] / unit
    below = (scene.outer[:, 1] - scene.points[152, 1]) / unit
    assert moved[below > 0.75].max() < 0.01 < 0.05 < moved[below < 0].max()


def test_an_opening_jaw_moves_what_is_near_it_only():
    scene = make_drawn()
    target = open_mouth(scene.points, 0.3)
    vertices, shown = scene.pose(target, REST)
    outer = vertices[-len(scene.outer) :]
    moved = np.linalg.norm(outer - scene.outer, axis=1)
    near = np.linalg.norm(scene.outer[:, :2] - scene.points[152, :2], axis=1) / face_unit(scene.points)
    assert moved[near < 0.2].max() > 2
    assert moved[near > 1.5].max() < 0.5
    assert np.array_equal(shown[:478], scene.points[:, :2])


def test_lids_slide_over_the_eyeballs():
    scene = make_drawn()
    target = scene.points.copy()
    target[159, 1] += 1  # so little that the eye does not count as closing
    vertices, shown = scene.pose(target, REST)
    place = 478 + LIDS.index(159)
    assert vertices[159, 1] - scene.points[159, 1] == pytest.approx(1, abs=1e-4)
    assert shown[159] == pytest.approx(scene.points[159, :2]), "the lid's skin moves with it"
    assert shown[place] == pytest.approx(target[159, :2], abs=1e-3), "the eyeball below it does not"


def test_rigid_and_its_inverse():
    rigid = Rigid(
        rotation=Rotation.from_rotvec([0.1, 0.3, -0.2]).as_matrix(), scale=1.2, translation=np.array([5.0, 3, 1])
    )
    points = mesh_points().astype(np.float64)
    assert rigid.inverse(rigid(points)) == pytest.approx(points, abs=1e-9)
    found = rigid_between(points, rigid(points))
    assert found.rotation == pytest.approx(rigid.rotation, abs=1e-6)
    assert found.scale == pytest.approx(1.2)


def test_a_person_that_was_not_recognised_gets_the_usual_shape():
    points = mesh_points()
    alpha = with_face(np.zeros((256, 256), np.float32), points)
    x, y = points[1, :2].astype(int)
    unit = int(face_unit(points))
    assert alpha[y, x] == pytest.approx(1)
    assert alpha[y - int(1.3 * unit), x] > 0.9, "hair"
    assert alpha[250, x] > 0.9, "chest"
    assert alpha[5, 5] == 0
    found = person_alpha(points, (256, 256))
    assert np.array_equal(with_face(found, points)[:, :40], found[:, :40]), "a found matte is kept"


@pytest.mark.parametrize("unit", [20.0, 50.0, 95.0])
def test_triangles_cover_the_picture_once_at_rest(unit):
    from talkingface.face.raster import rasterize

    points = mesh_points(unit, (128, 128))
    scene = make_scene(drawn_picture(), points, np.ones((256, 256), np.float32))
    flat = np.column_stack([scene.triangles_points, np.zeros(len(scene.triangles_points))]).astype(np.float32)
    assert scene.triangles.max() < len(flat)
    assert (rasterize(flat, scene.triangles, (256, 256)).face_id >= 0).all()


def test_the_room_of_a_person_whom_the_border_cuts_off():
    """The drawn person reaches the lower border only."""
    room = make_drawn().room()
    assert np.isinf(room.away).tolist() == [True, True, True, False]
    points = np.float32([[0, 128], [128, 255], [128, 256 - room.reach[3]], [128, 0]])
    up = room.held(points, np.tile([0.0, -30.0], (4, 1)))
    assert up[:, 1] == pytest.approx([-30 * 1, 0, -30, -30], abs=1), "held below, free elsewhere"
    down = room.held(points, np.tile([0.0, 30.0], (4, 1)))
    assert (down[:, 1] == 30).all(), "what goes towards the border may leave"
    assert room.limited(np.array([3.0, -3.0])) == pytest.approx([3, -3], rel=0.01)
    assert abs(room.limited(np.array([0.0, -1e6]))[1]) <= room.away[3]
