"""Finer head motion from colours: each frame is moved until it fits the prediction from albedo and light.

Tracked points jitter by a pixel; some thousand colours on the cheeks, brows and nose do not. The equations of a frame
come from the picture's slopes at the surface's projected vertices (Lucas & Kanade 1981), and are added to those of the
landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from talkingface.face.fit_landmarks import (
    CORRELATED,
    HeadState,
    LandmarkProblem,
    MovingPoints,
    normal_equations,
    pixel_slopes,
)
from talkingface.face.fit_light import Sighting, View, sample
from talkingface.face.lighting import shading
from talkingface.face.morphable import LinearFaceModel
from talkingface.face.subdivision import Surface, border_vertices

NUM_SAMPLES = 2500
STEPS = 2
FROM_EYES, FROM_BORDER = 0.16, 0.06  # eye distances: lids and what shows in openings do not follow the model
BLUR_PX = 0.8
LEAST_NOISE = 4.0  # grey levels
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, slots=True)
class Expected:
    """A frame and what it should show: grey levels float32 [N] at the samples, with weights [N]."""

    view: View
    grey: np.ndarray
    weights: np.ndarray


def expect(view: View, seen: Sighting, albedo: np.ndarray, light: np.ndarray) -> Expected:
    """What samples of known albedo [N, 3] should look like, where they are sighted, under `light` [3, 9]."""
    colours = albedo * shading(seen.normals, light.astype(np.float32))
    return Expected(view, grey_levels(colours).astype(np.float32), seen.weights)


class ColourProblem:
    """Samples on a surface, and how a frame's grey levels there depend on the head's motion."""

    def __init__(self, model: LinearFaceModel, surface: Surface, neutral: np.ndarray, device: str) -> None:
        self.picked = pick_samples(model, surface)
        rows = surface.operator[self.picked]
        basis = rows @ model.expression.reshape(len(model.mean), -1)
        self._moving = MovingPoints(torch.from_numpy(basis.reshape(len(self.picked), 3, -1)).float().to(device))
        self._base = torch.from_numpy(rows @ neutral).float().to(device)

    def equations(self, state: HeadState, frames: Sequence[Expected]) -> tuple[Tensor, Tensor]:
        """Normal equations [B, 6 + E, 6 + E] and [B, 6 + E] of frames at their `state`."""
        device = self._base.device
        here = HeadState(state.turn, state.shift, state.expression, self._base, state.focal)
        turned, points = self._moving.place(here)
        focal = torch.tensor([frame.view.camera.focal_px for frame in frames], device=device)[:, None]
        centre = torch.tensor([frame.view.camera.centre_px for frame in frames], device=device)[:, None]
        pixels = (focal[..., None] * points[..., :2] / points[..., 2:] + centre).cpu().numpy()
        seen = [sample(_with_slopes(frame.view.picture), at) for frame, at in zip(frames, pixels, strict=True)]
        found = torch.from_numpy(np.stack(seen)).to(device)
        residual = found[..., 0] - torch.from_numpy(np.stack([frame.grey for frame in frames])).to(device)
        weights = torch.from_numpy(np.stack([frame.weights for frame in frames])).to(device)
        noise = (1.5 * _weighted_mean(residual.abs(), weights)).clamp(min=LEAST_NOISE)
        trust = weights / (1 + (residual / noise) ** 2) ** 2
        by_point = found[..., None, 1:] @ pixel_slopes(points, focal)
        slopes = self._moving.slopes(by_point, turned, here)[:, :, 0]
        return normal_equations(slopes, residual, trust / (noise**2 * CORRELATED))


def refine_frames(
    colours: ColourProblem, landmarks: LandmarkProblem, state: HeadState, rows: Tensor, frames: Sequence[Expected]
) -> tuple[HeadState, tuple[Tensor, Tensor]]:
    """The state of the frames numbered `rows` after a few steps, and the colours' equations there."""
    part = state.at(rows)
    for _ in range(STEPS):
        matrix, side = colours.equations(part, frames)
        of_landmarks = landmarks.equations(part, rows)
        matrix, side = matrix + of_landmarks[0], side + of_landmarks[1]
        columns = range(6, matrix.shape[1])
        matrix[:, columns, columns] += 1
        side[:, columns] -= part.expression
        part = part.moved(torch.linalg.solve(matrix, side))
    return part, colours.equations(part, frames)


def pick_samples(model: LinearFaceModel, surface: Surface, count: int = NUM_SAMPLES) -> np.ndarray:
    """Numbers of `count` vertices of the skin, away from eyes and borders; the same ones every time."""
    points = surface.points(model.mean)
    eyes = model.mean[model.landmarks68[36:48]]
    unit = float(np.linalg.norm(eyes[0] - eyes[9]))
    on_skin = np.unique(surface.skin)
    border = points[border_vertices(surface.skin)]
    far = KDTree(eyes).query(points[on_skin])[0] > FROM_EYES * unit
    if len(border):
        far &= KDTree(border).query(points[on_skin])[0] > FROM_BORDER * unit
    usable = on_skin[far]
    return np.sort(np.random.default_rng(0).permutation(usable)[:count])


def grey_levels(colours: np.ndarray) -> np.ndarray:
    """Luma float32 [...] of RGB [..., 3]."""
    return colours @ _GREY


def _with_slopes(picture: np.ndarray) -> np.ndarray:
    """Grey levels, softened, and their slopes across and down, float32 [H, W, 3]."""
    grey = cv2.GaussianBlur(grey_levels(picture), (0, 0), BLUR_PX)
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *order, ksize=3, scale=1 / 8) for order in ((1, 0), (0, 1)))
    return np.stack([grey, across, down], -1)


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """[B, 1] of [B, N]."""
    return (values * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp(min=1e-6)
