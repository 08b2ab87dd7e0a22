from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from crops import draw_face, speaking_head
from faces import drawn_picture, psnr, sample_picture, sample_points
from talkingface.core.types import Track
from talkingface.face.topology import LIPS
from talkingface.systems.pcavs.alignment.align import (
    EYE_POINTS_LEFT,
    EYE_POINTS_RIGHT,
    MOUTH_POINTS,
    alignment,
    head_shifts,
    joined,
    three_points,
)
from talkingface.systems.pcavs.alignment.crop import EYES, on_square, square_matrix, view
from talkingface.systems.pcavs.compact.inference import CompactVariant, soft_mask
from talkingface.systems.pcavs.compact.networks import Drawn, resized
from talkingface.systems.pcavs.compact.views import (
    HIDDEN_ASIDE,
    HIDDEN_BOTTOM,
    HIDDEN_TOP,
    NOSE_TIP,
    mouth_view,
    pose_view,
)
from talkingface.systems.pcavs.config import preset
from talkingface.systems.pcavs.pose.pose_features import track_features

SIZE = 128


@pytest.fixture(scope="module")
def variant() -> CompactVariant:
    return CompactVariant(preset("tiny"), None, "cpu")


@pytest.fixture(scope="module")
def seen() -> tuple[np.ndarray, np.ndarray]:
    """The sample's square and its points there."""
    points = sample_points()
    matrix = joined(square_matrix(SIZE), alignment(three_points(points[None]))[0])
    return view(sample_picture(), matrix, SIZE), on_square(points[:, :2], matrix, SIZE)


def hidden_box(points: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the square that lie wholly in the box around the mouth."""
    x, y = (points[NOSE_TIP] + 1) / 2 * SIZE
    unit = EYES / 2 * SIZE
    rows = slice(int(np.ceil(y + HIDDEN_TOP * unit)), int(min(SIZE, y + HIDDEN_BOTTOM * unit)))
    return rows, slice(int(np.ceil(x - HIDDEN_ASIDE * unit)), int(x + HIDDEN_ASIDE * unit))


def code(net: torch.nn.Module, picture: np.ndarray) -> np.ndarray:
    values = torch.from_numpy(picture).float() / 127.5 - 1
    with torch.no_grad():
        return net(values[None, None] if picture.ndim == 2 else values.permute(2, 0, 1)[None]).numpy()


def test_eyes_and_mouth_lie_where_the_template_says(seen):
    _, points = seen
    eyes = [points[[*group]].mean(0) for group in ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380))]
    assert np.linalg.norm(eyes[1] - eyes[0]) == pytest.approx(EYES, rel=0.15)
    assert points[list(MOUTH_POINTS)].mean(0) == pytest.approx([0, (120.5 / 96) - 1], abs=0.01)


def test_the_pose_picture_hides_the_whole_mouth_and_nothing_of_the_eyes(seen):
    square, points = seen
    lips = [61, 291, 0, 17, 13, 14, 152]
    rows, columns = hidden_box(points)
    at = (points[lips] + 1) / 2 * SIZE
    assert (at[:, 0] > columns.start).all() and (at[:, 0] < columns.stop).all()
    assert (at[:, 1] > rows.start).all() and (at[:, 1] < rows.stop).all()
    wide = pose_view(square, points, SIZE)
    above = np.s_[: rows.start - 1]
    assert np.array_equal(wide[above], square[above])


def test_no_mouth_can_be_heard_in_the_pose_code(variant, seen):
    square, points = seen
    rows, columns = hidden_box(points)
    net, size = variant._networks.pose, preset("tiny").compact.pose_px
    true = code(net, pose_view(square, points, size))
    rng = np.random.default_rng(0)
    for kind in ("noise", "black", "upside down"):
        other = square.copy()
        box = other[rows, columns]
        other[rows, columns] = {
            "noise": rng.integers(0, 256, box.shape, np.uint8), "black": np.zeros_like(box), "upside down": box[::-1]
        }[kind]  # fmt: skip
        assert not np.array_equal(other, square)
        assert np.array_equal(code(net, pose_view(other, points, size)), true)
    other = square.copy()
    other[: rows.start - 2] //= 2
    assert not np.array_equal(code(net, pose_view(other, points, size)), true)


def test_the_mouth_code_sees_neither_eyes_nor_background(variant, seen):
    square, points = seen
    net, size = variant._networks.mouth, preset("tiny").compact.mouth_px
    true = code(net, mouth_view(square, points, size))
    eyes = (points[[33, 133, 362, 263], 1].max() + 1) / 2 * SIZE
    side = EYES / 2 * SIZE
    nose = (points[NOSE_TIP, 0] + 1) / 2 * SIZE
    other = square.copy()
    other[: int(eyes + 2)] = 0
    other[:, : int(nose - 0.75 * side)] = 255
    other[:, int(nose + 0.75 * side) :] = 255
    assert np.array_equal(code(net, mouth_view(other, points, size)), true)
    dark = square.copy()
    dark[hidden_box(points)] //= 2
    assert not np.array_equal(code(net, mouth_view(dark, points, size)), true)


def test_another_mouth_in_a_film_leaves_its_pose_codes(variant):
    """Through the whole reading, with the same points: the mouth's pixels reach the mouth code alone."""
    points, _ = speaking_head(3)
    pictures = [draw_face(p) for p in points]
    track = Track(landmarks=points, times_s=np.arange(3) / 25, confidence=np.ones(3, np.float32), size=(256, 256))
    changed = []
    for picture, p in zip(pictures, points, strict=True):
        other = picture.copy()
        x, y = p[list(MOUTH_POINTS), :2].mean(0)
        cv2.ellipse(other, (int(x), int(y)), (15, 10), 0, 0, 360, (0, 255, 0), -1)
        changed.append(other)
    true, other = variant.encode_video(track, iter(pictures)), variant.encode_video(track, iter(changed))
    assert np.array_equal(true.pose, other.pose)
    assert np.abs(true.mouth - other.mouth).max() > 1e-3


def test_views_and_points_agree_at_any_size():
    """A dot is found where its point says, whatever the resolution: no half pixel is lost."""
    dot = np.array([100.0, 84.0])  # a corner of pixels: the middle of the four around it
    picture = np.zeros((224, 224, 3), np.uint8)
    picture[82:86, 98:102] = 255
    for size in (32, 96, 128, 200, 384):
        matrix = square_matrix(size)
        seen = view(picture, matrix, size).astype(np.float64)[..., 0]
        middle = np.array([(seen.sum(0) * np.arange(size)).sum(), (seen.sum(1) * np.arange(size)).sum()]) / seen.sum()
        said = (on_square(dot[None], matrix, size)[0] + 1) / 2 * size - 0.5
        assert middle == pytest.approx(said, abs=0.05), size


def test_views_of_large_pictures_are_averaged():
    stripes = np.zeros((900, 900, 3), np.uint8)
    stripes[:, ::2] = 255
    small = view(stripes, np.array([[0.2, 0, 0], [0, 0.2, 0]]), 128)
    assert small[20:-20, 20:-20].std() < 8


def test_joined_matrices_do_one_after_the_other():
    rng = np.random.default_rng(0)
    outer, inner, point = rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), rng.normal(size=2)
    once = inner[:, :2] @ point + inner[:, 2]
    both = joined(outer, inner)
    assert both[:, :2] @ point + both[:, 2] == pytest.approx(outer[:, :2] @ once + outer[:, 2])


def test_steadying_takes_away_the_bob_of_the_mouth_and_keeps_the_head():
    """A head that drifts and speaks: the published crops bob with the mouth, the steadied ones follow the head."""
    count = 120
    points, _ = speaking_head(count, turning=0.0)
    points[:, :, 0] += 0.3 * np.arange(count)[:, None]  # the head walks to the right
    matrices = alignment(three_points(points))
    steady = matrices.copy()
    steady[..., 2] += head_shifts(matrices)
    eyes = points[:, [33, 263], :2].mean(1) - 0.5
    bob, rest = (np.einsum("tij,tj->ti", m[..., :2], eyes) + m[..., 2] for m in (matrices, steady))
    middle = slice(20, -20)
    assert np.ptp(bob[middle, 1]) > 3 and np.ptp(rest[middle, 1]) < 0.25 * np.ptp(bob[middle, 1])
    assert np.ptp(rest[middle, 0]) < 2, "it still walks along"
    assert np.abs(head_shifts(matrices[:1])).max() < 1e-9, "a photo has nothing to be steadied"


def test_what_is_drawn_can_be_carried_out_at_any_size(variant):
    """The flow at another size moves the same things to the same places."""
    rng = torch.Generator().manual_seed(0)
    small = 64

    def smooth(channels: int, size: int, scale: float) -> torch.Tensor:
        few = torch.randn(1, channels, 3, 3, generator=rng) * scale
        return torch.nn.functional.interpolate(few, (size, size), mode="bilinear", align_corners=False)

    drawn = Drawn(
        flow=smooth(2, small // 2, 0.08), coarse=smooth(2, small // 4, 0.1), mask=smooth(1, small, 1).sigmoid(),
        colour=smooth(3, small, 0.5).tanh(),
    )  # fmt: skip
    large = cv2.GaussianBlur(drawn_picture(), (0, 0), 6)
    values = torch.from_numpy(large).permute(2, 0, 1)[None].float() / 127.5 - 1
    reduced = torch.nn.functional.interpolate(values, (small, small), mode="area")
    wide = torch.nn.functional.interpolate(drawn.on(values), (small, small), mode="area")
    assert (wide - drawn.on(reduced)).abs().mean() < 0.02
    assert (reduced - drawn.on(reduced)).abs().mean() > 0.1, "something was moved"


def test_no_flow_and_a_full_mask_give_the_photo_back(variant):
    picture = torch.rand(2, 3, 96, 96) * 2 - 1
    still = Drawn(
        flow=torch.zeros(2, 2, 32, 32), coarse=torch.zeros(2, 2, 16, 16), mask=torch.ones(2, 1, 64, 64),
        colour=torch.zeros(2, 3, 64, 64),
    )  # fmt: skip
    torch.testing.assert_close(still.on(picture), picture, atol=1e-5, rtol=0)


def test_at_rest_the_photo_is_seen_to_the_pixel(variant):
    points = sample_points()
    for side in (64, 226):
        face = variant.face(sample_picture(), points, None, side)
        matrix = joined(square_matrix(variant.size_px), alignment(three_points(points[None]))[0])
        seen = view(sample_picture(), matrix, variant.size_px)
        _, own = variant.encode_photo(seen, on_square(points[:, :2].astype(np.float64), matrix, variant.size_px))
        (made,), alpha = face.draw(own.mouth, own.pose)
        photo = view(sample_picture(), face.square.matrix, side)
        # OpenCV looks up places to 1/32 pixel: two levels at the sharpest edges
        assert alpha is None and np.abs(made.astype(int) - photo).max() <= 2 and psnr(made, photo) > 60


def test_the_fast_way_of_drawing_agrees_with_the_networks_way(variant):
    """`CompactFace` works with OpenCV at the photo's size; `Drawn.on`, with which training works, is its measure when
    nothing is taken off.

    `CompactFace` also smooths what it enlarges, and paints within the face alone; here it must not.
    Where the flow fetches from beyond the square the two differ: the networks know no more, the photo does.
    """
    points = sample_points()
    codes, config = np.random.default_rng(1).normal(size=(2, 20)).astype(np.float32), preset("tiny")
    for side in (64, 226):
        face = variant.face(sample_picture(), points, None, side)
        face._rest_flow, face._rest_error = np.zeros_like(face._rest_flow), np.zeros_like(face._rest_error)
        face._face, face._inner = np.ones_like(face._face), np.ones_like(face._inner)
        face._enlarged = lambda small, side=side: cv2.resize(small, (side, side))
        mouth, pose = codes[:, : config.codes.mouth], codes[:, : config.codes.pose]
        drawn = variant.draw(face._identity, face.rest, mouth, pose)
        square = torch.from_numpy(view(sample_picture(), face.square.matrix, side)).permute(2, 0, 1)[None].float()
        wanted = drawn.on((square / 127.5 - 1).expand(2, -1, -1, -1))
        wanted = ((wanted + 1) * 127.5).permute(0, 2, 3, 1).round().clamp(0, 255).numpy().astype(np.uint8)
        made, alpha = face.draw(mouth, pose)
        assert alpha is None and made.shape == wanted.shape
        axis = (np.arange(side) * 2 + 1) / side - 1
        flow = resized(drawn.flow, (side, side)).permute(0, 2, 3, 1).numpy()
        inside = (np.abs(np.stack(np.meshgrid(axis, axis), -1) + flow) < 0.97).all(-1)
        assert inside.sum() > 500
        assert psnr(made[inside], wanted[inside]) > 40
        assert not np.array_equal(made[0], made[1])


def test_beside_the_face_movement_is_smooth_and_in_it_exact(variant):
    face = variant.face(sample_picture(), sample_points(), None, 96)
    side = variant.size_px
    ripples = 0.02 * np.sin(np.arange(side) * 2.5)[None, :, None] * np.ones((side, 1, 2))
    calm = face._calm(ripples.astype(np.float32))
    inside, beside = face._face > 0.999, face._face < 0.001
    assert inside.sum() > 50 and beside.sum() > 50
    assert np.abs(calm[beside]).max() < 0.7 * np.abs(ripples).max()
    np.testing.assert_array_equal(face._calm(np.zeros_like(calm)), 0)
    middle = side // 2, side // 2
    np.testing.assert_allclose(calm[middle], ripples[middle], atol=2e-3)


def test_parting_lips_are_painted_by_the_network_alone(variant):
    points = np.zeros((478, 2))
    points[list(LIPS)] = np.random.default_rng(0).uniform((-0.2, 0.2), (0.2, 0.4), (len(LIPS), 2))
    mask = soft_mask(points[list(LIPS)], 0.12, 100)
    assert mask[65, 50] > 0.9 and mask[20, 50] == 0 and mask[65, 5] == 0


def test_nothing_is_painted_beside_the_face(variant):
    """Hair and background only move: on a plain picture they stay as they are."""
    plain = np.full_like(sample_picture(), (10, 200, 60))
    face = variant.face(plain, sample_points(), None, 226)
    codes = variant.silence[None] + 1, face.rest[None] + 0.5
    assert np.abs(face.draw(*codes)[0].astype(int) - plain[0, 0]).max() > 9
    assert face._inner[113, 113] > 0.99 and face._inner[0].max() < 0.01
    whole = joined(square_matrix(226), alignment(three_points(sample_points()[None]))[0])
    placed = on_square(sample_points()[:, :2].astype(np.float64), whole, 226)
    for eye in (EYE_POINTS_LEFT, EYE_POINTS_RIGHT):
        x, y = np.round((placed[list(eye)].mean(0) + 1) / 2 * 226 - 0.5).astype(int)
        assert face._inner[y, x] < 0.05, "eyes are never painted"
    face._inner[:] = 0
    assert np.array_equal(face.draw(*codes)[0][0], np.broadcast_to(plain[0, 0], (226, 226, 3)))


def test_fresh_networks_do_move_the_picture_and_repeat(variant):
    points = sample_points()
    again = CompactVariant(preset("tiny"), None, "cpu")
    silent = variant.silence[None]
    one, other = (t.face(sample_picture(), points, None, 96) for t in (variant, again))
    (a, _), (b, _) = one.draw(silent, one.rest[None]), other.draw(silent, other.rest[None])
    assert np.array_equal(a, b)
    assert psnr(a[0], view(sample_picture(), one.square.matrix, 96)) < 40


def test_silence_is_exactly_the_resting_mouth(variant):
    said = variant.encode_audio(np.zeros(16000, np.float32))
    assert said.shape == (25, len(variant.silence))
    assert np.array_equal(said - variant.silence, np.zeros_like(said))
    assert len(variant.encode_audio(np.zeros(0, np.float32))) == 0
    assert len(variant.encode_audio(np.zeros(641, np.float32))) == 2


def test_a_room_without_a_voice_moves_no_mouth(variant, voice):
    room = np.random.default_rng(0).normal(scale=0.01, size=16000).astype(np.float32)
    assert np.array_equal(variant.encode_audio(room), np.repeat(variant.silence[None], 25, axis=0))
    assert variant.encode_audio(voice).std(axis=0).max() > 0


def test_heads_are_followed_through_the_picture():
    """Turns and shifts of the tracked head about its mean move the pose code, though its crop follows it."""
    points, turns = speaking_head(40, turning=0.3)
    shift = np.linspace(-6, 6, 40)[:, None, None] * (1, 0, 0)
    track = Track(
        landmarks=(points + shift).astype(np.float32), times_s=np.arange(40) / 25,
        confidence=np.ones(40, np.float32), size=(256, 256),
    )  # fmt: skip
    features = track_features(track)
    assert np.corrcoef(features[:, 1], turns[:, 1])[0, 1] > 0.95
    still = track_features(Track(landmarks=points, times_s=track.times_s, confidence=track.confidence, size=(256, 256)))
    moved = features[:, 3] - still[:, 3]
    assert np.corrcoef(moved, shift[:, 0, 0])[0, 1] > 0.99 and np.ptp(moved) > 0.5
    assert np.abs(features).max() < 9
