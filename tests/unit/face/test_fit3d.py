"""The whole fit on a drawn clip: a known head, lens and light come back; frames are read twice and in order."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from talkingface.core.errors import InputError
from talkingface.core.types import Track
from talkingface.face import raster
from talkingface.face.camera import Camera, to_screen
from talkingface.face.eyelids import close_lids
from talkingface.face.fit3d import VideoFit, fit_video, gaze_of, head_shape, lit_colours, place, select_frames
from talkingface.face.fit_colours import pick_samples
from talkingface.face.lighting import ambient_light
from talkingface.face.morphable import close_mouth, load_mesh478
from talkingface.face.subdivision import mesh478_surface, plain_surface
from talkingface.face.topology import FACE_68

MODEL, SURFACE = load_mesh478(), mesh478_surface(2)
CAMERA = Camera(900.0, (160.0, 120.0), (320, 240))
NUM_FRAMES = 30
LIGHT = ambient_light(0.95)
LIGHT[:, 3] = 0.2


class Clip:
    """A drawn clip with all that is known about it. `reads` counts how often it was begun."""

    def __init__(self) -> None:
        rng = np.random.default_rng(4)
        time = np.linspace(0, 2 * np.pi, NUM_FRAMES)
        turns = np.stack([0.1 * np.sin(time), 0.3 * np.sin(0.7 * time + 1), 0.05 * np.cos(time)], 1)
        self.rotation = Rotation.from_rotvec(turns).as_matrix()
        self.shift = np.stack([0.1 * np.sin(time), 0.1 + 0.05 * np.cos(2 * time), 7 + 0.5 * np.sin(time)], 1)
        self.expression = np.zeros((NUM_FRAMES, MODEL.expression.shape[-1]), np.float32)
        self.expression[:, :3] = np.sin(np.outer(2 * time, [1, 1.3, 1.7]))
        self.neutral = close_mouth(MODEL, MODEL.mean).astype(np.float32)
        few = rng.uniform(60, 230, (40, 3))
        sites = MODEL.mean[rng.permutation(468)[:40]]
        points = SURFACE.points(MODEL.mean)
        near = np.exp(-((np.linalg.norm(points[:, None] - sites, axis=-1) / 0.12) ** 2))
        self.albedo = (near @ few + 150 * 0.05) / (near.sum(1, keepdims=True) + 0.05)  # soft blotches
        self.pictures, landmarks = [], []
        for k in range(NUM_FRAMES):
            shape = head_shape(MODEL, self.neutral, self.expression[k])
            on_surface = place(SURFACE, shape, self.rotation[k], self.shift[k])
            self.pictures.append(draw(on_surface, lit_colours(SURFACE, on_surface, self.albedo, LIGHT), CAMERA))
            before = shape @ self.rotation[k].T + self.shift[k]
            landmarks.append(np.concatenate([CAMERA.project(before)[0], 130 * before[:, 2:]], 1))
        self.landmarks = np.array(landmarks)
        noise = 0.8 * rng.normal(size=self.landmarks.shape)
        self.track = Track(
            landmarks=(self.landmarks + noise).astype(np.float32),
            times_s=np.arange(NUM_FRAMES) / 25,
            confidence=np.ones(NUM_FRAMES, np.float32),
            size=CAMERA.size,
        )


def draw(points: np.ndarray, colours: np.ndarray, camera: Camera) -> np.ndarray:
    """On a grey ground, uint8 [H, W, 3]."""
    seen = raster.rasterize(to_screen(camera, points), SURFACE.visible, camera.size, perspective=True)
    rgb = raster.interpolate(seen, SURFACE.visible, colours.astype(np.float32))
    rgb[seen.face_id < 0] = 90
    return np.clip(rgb, 0, 255).astype(np.uint8)


@functools.cache
def clip() -> Clip:
    return Clip()


@functools.cache
def fitted() -> VideoFit:
    return fit_video(MODEL, SURFACE, clip().track, lambda: iter(clip().pictures))


def degrees_off(fit: VideoFit) -> np.ndarray:
    true = clip().rotation
    turned = fit.head.rotation @ fit.head.rotation[:1].swapaxes(1, 2), true @ true[:1].swapaxes(1, 2)
    return np.degrees(Rotation.from_matrix(turned[0].swapaxes(1, 2) @ turned[1]).magnitude())


def test_head_motion_and_lens_come_back():
    head = fitted().head
    assert np.median(degrees_off(fitted())) < 0.8
    assert np.log(head.camera.focal_px / CAMERA.focal_px) == pytest.approx(0, abs=0.4)
    scale = head.camera.focal_px / head.translation[:, 2]
    assert scale == pytest.approx(CAMERA.focal_px / clip().shift[:, 2], rel=0.03)
    moved = np.corrcoef(head.expression[:, 0], clip().expression[:, 0])[0, 1]
    assert moved > 0.95


def test_colours_place_the_surface_more_exactly_than_the_landmarks_did():
    picked = pick_samples(MODEL, SURFACE)
    errors = []
    for k in range(0, NUM_FRAMES, 3):
        pixels, _ = fitted().head.camera.project(fitted().points(MODEL, SURFACE, k)[picked])
        shape = head_shape(MODEL, clip().neutral, clip().expression[k])
        true, _ = CAMERA.project(place(SURFACE, shape, clip().rotation[k], clip().shift[k])[picked])
        errors.append(np.linalg.norm(pixels - true, axis=-1).mean())
    assert np.mean(errors) < 0.5


def test_the_fit_drawn_again_looks_like_the_clip():
    quality = []
    for k in range(0, NUM_FRAMES, 5):
        points = fitted().points(MODEL, SURFACE, k)
        again = draw(points, lit_colours(SURFACE, points, fitted().albedo, fitted().light[k]), fitted().head.camera)
        both = (again != 90).any(-1) & (clip().pictures[k] != 90).any(-1)
        error = np.square(again[both].astype(float) - clip().pictures[k][both]).mean()
        quality.append(10 * np.log10(255**2 / error))
    assert np.mean(quality) > 30, quality


def test_the_light_comes_from_the_right_side():
    light = fitted().light.mean(0)
    assert (light[:, 3] / light[:, 0]).mean() == pytest.approx(0.2 / LIGHT[0, 0], abs=0.12)


def test_plain_coefficients():
    coeffs = fitted().coeffs()
    assert coeffs.pose.shape == (NUM_FRAMES, 6) and coeffs.lighting.shape == (NUM_FRAMES, 27)
    assert coeffs.pose[:, 5] == pytest.approx(CAMERA.focal_px / clip().shift[:, 2], rel=0.03)
    assert coeffs.camera[1:].tolist() == [160, 120]


def test_frames_are_read_twice_in_order_and_gaps_are_bridged():
    begun = []

    def frames():
        begun.append(0)
        for picture in clip().pictures:
            begun[-1] += 1
            yield picture

    confidence = np.ones(NUM_FRAMES, np.float32)
    confidence[12:15] = 0
    gaps = replace(clip().track, confidence=confidence)
    fit = fit_video(MODEL, SURFACE, gaps, frames)
    assert begun == [NUM_FRAMES, NUM_FRAMES]
    assert degrees_off(fit)[12:15].max() < 4
    assert np.isfinite(fit.light).all() and fit.light[13] == pytest.approx(fit.light[10], abs=0.15)


def test_a_shorter_video_than_the_track_is_an_error():
    with pytest.raises(InputError, match="30 were tracked"):
        fit_video(MODEL, SURFACE, clip().track, lambda: iter(clip().pictures[:20]))


def test_a_model_known_at_68_points_is_fitted_the_same_way():
    """The Basel model's way: few landmarks, a mesh that needs no refining, no lids of its own."""
    sparse = replace(MODEL, landmarks=np.array(FACE_68), tracked=np.array(FACE_68))
    surface = plain_surface(mesh478_surface(0).visible, len(MODEL.mean))
    fit = fit_video(sparse, surface, clip().track, lambda: iter(clip().pictures))
    assert fit.albedo.shape == (len(MODEL.mean), 3) and not fit.closure.any()
    assert np.median(degrees_off(fit)) < 1.5
    points = fit.points(sparse, surface, 4)
    seen = np.abs(lit_colours(surface, points, fit.albedo, fit.light[4])[[205, 425, 4, 50, 280]])
    assert seen.min() > 20 and seen.max() < 300


def test_selected_frames_are_spread_and_awake():
    landmarks = clip().landmarks.astype(np.float32).copy()
    landmarks[7] = close_lids(landmarks[7].astype(np.float64), 1.0)
    confidence = np.ones(NUM_FRAMES, np.float32)
    confidence[20] = 0
    picked = select_frames(replace(clip().track, landmarks=landmarks, confidence=confidence), count=10)
    assert len(picked) == 10 and picked == sorted(set(picked))
    everything = select_frames(replace(clip().track, landmarks=landmarks, confidence=confidence), count=100)
    assert 7 not in everything and 20 not in everything and len(everything) == NUM_FRAMES - 2


def test_gaze_follows_the_irises():
    landmarks = clip().landmarks.copy()
    unit = np.linalg.norm(landmarks[0, 33, :2] - landmarks[0, 263, :2])
    looked = landmarks.copy()
    looked[:, 468:, 0] += 0.1 * unit
    moved = gaze_of(looked)[0] - gaze_of(landmarks)[0]
    assert moved[:, 0] == pytest.approx(0.1, abs=0.01) and moved[:, 1] == pytest.approx(0, abs=0.02)
