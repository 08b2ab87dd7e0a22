from __future__ import annotations

import numpy as np

from faces import drawn_picture, mesh_points, person_alpha, psnr
from talkingface.photo.composite import Drawer, HiddenMouth, hidden_mouth
from talkingface.photo.scene import Rigid, make_scene

NOTHING_HIDDEN = HiddenMouth(colour=np.zeros(3), share=0.0)


def make_drawer() -> Drawer:
    points = mesh_points()
    picture = drawn_picture()
    return Drawer(make_scene(picture, points, person_alpha(points, picture.shape)), hidden_mouth(picture, points))


def shifted(x: float, y: float) -> Rigid:
    return Rigid(rotation=np.eye(3), scale=1.0, translation=np.array([x, y, 0.0]))


def test_the_face_moves_and_the_background_stays():
    drawer = make_drawer()
    move = shifted(6, -3)
    out = np.zeros_like(drawn_picture())
    drawer.draw(move(drawer.scene.points), move, out)
    face = np.s_[90:150, 100:150]
    assert psnr(out[87:147, 106:156], drawn_picture()[face]) > 38
    assert np.array_equal(out[:30, :20], drawn_picture()[:30, :20])


def test_nothing_outside_the_region_is_touched():
    drawer = make_drawer()
    move = shifted(6, -3)
    whole, part = np.full((2, 256, 256, 3), 77, np.uint8)
    drawer.draw(move(drawer.scene.points), move, whole)
    drawer.draw(move(drawer.scene.points), move, part, (80, 60, 180, 200))
    inside = np.zeros((256, 256), bool)
    inside[60:200, 80:180] = True
    assert np.array_equal(part[inside], whole[inside])
    assert (part[~inside] == 77).all()


def test_drawing_leaves_no_trace_in_the_next_picture():
    drawer, fresh = make_drawer(), make_drawer()
    rest, far = shifted(0, 0), shifted(15, 10)
    out, wanted = np.zeros((2, 256, 256, 3), np.uint8)
    drawer.draw(far(drawer.scene.points), far, out)
    opacity = drawer.draw(drawer.scene.points, rest, out)
    expected = fresh.draw(drawer.scene.points, rest, wanted)
    assert np.array_equal(out, wanted)
    assert np.array_equal(opacity, expected)


def test_no_fringe_of_the_old_background_beside_a_moved_person():
    """A grey person before a green wall: where the person has left, the wall must show, not a mixture with a halo."""
    points = mesh_points()
    alpha = person_alpha(points, (256, 256))
    green, grey = np.array([30.0, 200, 40]), np.array([120.0, 120, 120])
    rgb = np.round(alpha[..., None] * grey + (1 - alpha[..., None]) * green).astype(np.uint8)
    scene = make_scene(rgb, points, alpha)
    move = shifted(10, 0)
    out = np.zeros_like(rgb)
    Drawer(scene, NOTHING_HIDDEN).draw(move(scene.points), move, out)
    row = out[100].astype(float)  # through the head: colours between green and grey only
    mixing = (row[:, 1] - 120) / 80
    expected = grey + mixing[:, None] * (green - grey)
    assert np.abs(row - expected).max() < 14
    green_inside = out[100, 95:170, 1].astype(int) - out[100, 95:170, 0]
    assert green_inside.max() < 6


def test_a_closed_photo_opens_on_darkness_and_an_open_one_on_itself():
    points = mesh_points()
    picture = np.full((256, 256, 3), 200, np.uint8)
    hidden = hidden_mouth(picture, points)
    opened = points.copy()
    opened[[87, 14, 317, 178, 402, 88, 318], 1] += 20
    out = picture.copy()
    hidden.fill(out, opened)
    inside = np.mean([opened[13, :2], opened[14, :2]], axis=0).astype(int)
    assert out[inside[1], inside[0]].max() < 100
    assert np.array_equal(out[:100], picture[:100])
    assert hidden_mouth(picture, opened).share == 0
