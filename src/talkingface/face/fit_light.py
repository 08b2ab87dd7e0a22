"""Colours of a face's surface from pictures, split into the person's own colour (albedo) and the light.

A vertex is looked up where the fitted camera sees it, if nothing lies before it and it does not turn away. Albedo and
light explain the same colours, so one must be simpler: light is what nine smooth functions of the normal explain of
a face of one colour; the rest is the person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import sparse

from talkingface.face import raster
from talkingface.face.camera import Camera, to_screen
from talkingface.face.detect import square_crop
from talkingface.face.lighting import CONSTANT, ambient_light, harmonics
from talkingface.face.subdivision import Surface

VIEW_PX = 224
VIEW_SHARE = 0.92  # of the view that the face fills
BEHIND = 0.03  # share of the distance's spread by which a visible vertex may lie behind the surface seen there
GRAZING = 0.15  # cosine of the angle to the line of sight below which a vertex shows nothing useful
ROUNDS = 4
LIGHT_PRIOR = 0.02  # pull of the light towards a plain one, as a share of the evidence
FRAME_LIGHT_PRIOR = 0.3  # pull of a frame's light towards the clip's
LEAST_WEIGHT = 0.05  # of the median vertex's evidence: with less, a colour comes from the neighbours
FILL_STEPS = 400


@dataclass(frozen=True, slots=True)
class View:
    """A face cut out of a frame: `picture` uint8 [S, S, 3] with S at most 224, and the `camera` that sees it."""

    picture: np.ndarray
    camera: Camera


def look_at_face(rgb: np.ndarray, camera: Camera, points: np.ndarray) -> View:
    """The view of a frame [H, W, 3] around the points [N, 3] before its camera."""
    pixels, _ = camera.project(points)
    low, high = pixels.min(0), pixels.max(0)
    side = float((high - low).max()) / VIEW_SHARE
    picture, (x, y) = square_crop(rgb, tuple((low + high) / 2), side)
    scale = min(1.0, VIEW_PX / len(picture))
    if scale < 1:
        picture = cv2.resize(picture, (VIEW_PX, VIEW_PX), interpolation=cv2.INTER_AREA)
    centre = (camera.centre_px[0] - x) * scale, (camera.centre_px[1] - y) * scale
    return View(picture, Camera(camera.focal_px * scale, centre, (len(picture), len(picture))))


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one view shows of a surface: `colours` float32 [V', 3], `weights` float32 [V'] in [0, 1] (0: not seen),
    `normals` float32 [V', 3] before the camera."""

    colours: np.ndarray
    weights: np.ndarray
    normals: np.ndarray


def sight(view: View, surface: Surface, points: np.ndarray, vertices: np.ndarray | None = None) -> Sighting:
    """Look up the colours of the surface's vertices at `points` [V', 3] before the camera; of all, or of some."""
    screen = to_screen(view.camera, points.astype(np.float32))
    seen = raster.rasterize(screen, surface.visible, view.camera.size, perspective=True)
    normals = surface.normals(points)
    some = slice(None) if vertices is None else vertices
    weights = visibility(seen.depth, points[some], screen[some], normals[some])
    return Sighting(sample(view.picture, screen[some, :2]), weights, normals[some])


def sample(picture: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Colours float32 [N, C] of a picture [H, W, C] at pixels [N, 2], bilinear."""
    at = np.ascontiguousarray(pixels[:, None] - 0.5, np.float32)
    picture = picture.astype(np.float32)
    found = cv2.remap(picture, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return found[:, 0]


def visibility(depth: np.ndarray, points: np.ndarray, screen: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """How well vertices are seen, float32 [N] in [0, 1]: by their angle, 0 where hidden or outside the picture.

    `depth` [H, W] of what is nearest; `points` [N, 3] before the camera, `screen` the same in pixels, unit `normals`.
    """
    height, width = depth.shape
    column, row = np.floor(screen[:, 0]).astype(int), np.floor(screen[:, 1]).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    nearest = depth[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    in_front = screen[:, 2] <= nearest + BEHIND * np.ptp(points[:, 2])
    facing = -(normals * points).sum(-1) / np.linalg.norm(points, axis=-1)
    return np.where(inside & in_front, np.clip(facing - GRAZING, 0, None) / (1 - GRAZING), 0).astype(np.float32) ** 2


def split_light(
    sightings: Sequence[Sighting], emphasis: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Albedo [V', 3] (RGB, 0 to 255), light [3, 9] and evidence [V'] of several sightings of one person.

    `emphasis` [K, V'] multiplies the weights. The light's mean over what is seen is one, so the albedo is about as
    bright as the pictures. Where the evidence is small the albedo means little: see `fill_unseen`.
    """
    weights = np.stack([s.weights for s in sightings])
    if emphasis is not None:
        weights = weights * emphasis
    colours = np.stack([s.colours for s in sightings])
    functions = np.stack([harmonics(s.normals) for s in sightings])
    light = _light_on_skin(functions, colours, weights)
    shades = functions @ light.T.astype(np.float32)
    level = np.einsum("kv,kvc->c", weights, shades) / weights.sum()
    albedo, evidence = _robust_albedo(colours, shades / level, weights)
    return albedo, (light / level[:, None]).astype(np.float32), evidence


def _light_on_skin(functions: np.ndarray, colours: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The light that explains the face as if it had one colour; brows, lips and hair are unlike it and count little."""
    means = np.einsum("kv,kvc->vc", weights, colours) / np.maximum(weights.sum(0), 1e-6)[:, None]
    seen = weights.sum(0) > np.median(weights.sum(0))
    skin = np.broadcast_to(np.median(means[seen], 0), means.shape)
    light, trust = ambient_light(), np.ones_like(weights)
    for _ in range(ROUNDS):
        light = _solve_light(functions, skin, colours, weights * trust, ambient_light(), LIGHT_PRIOR)
        off = np.abs(colours - skin * (functions @ light.T.astype(np.float32))).mean(-1)
        spread = np.sqrt((weights * trust * off**2).sum() / (weights * trust).sum())
        trust = 1 / (1 + (off / spread) ** 2) ** 2
    return light


def _robust_albedo(colours: np.ndarray, shades: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means over the sightings [V', 3] in which stray colours count little, and their evidence [V']."""
    trust = np.ones_like(weights)
    albedo = np.zeros(colours.shape[1:], np.float32)
    for _ in range(ROUNDS):
        use = (weights * trust)[..., None]
        albedo = (use * shades * colours).sum(0) / np.maximum((use * shades**2).sum(0), 1e-6)
        off = np.abs(colours - albedo * shades).mean(-1)
        spread = np.maximum(1.5 * (weights * off).sum(0) / np.maximum(weights.sum(0), 1e-6), 2.0)
        trust = 1 / (1 + (off / spread) ** 2) ** 2
    return albedo, (weights * trust).sum(0)


def frame_light(sighting: Sighting, albedo: np.ndarray, clip_light: np.ndarray) -> np.ndarray:
    """Light [3, 9] of one frame on the known albedo [N, 3] of what is sighted; the rest is the clip's."""
    return _solve_light(
        [harmonics(sighting.normals)],
        albedo,
        sighting.colours[None],
        sighting.weights[None],
        clip_light,
        FRAME_LIGHT_PRIOR,
    )


def _solve_light(
    functions: Sequence[np.ndarray] | np.ndarray,
    albedo: np.ndarray,
    colours: np.ndarray,
    weights: np.ndarray,
    prior: np.ndarray,
    strength: float,
) -> np.ndarray:
    """The light [3, 9] under which the albedo has these colours, least squares with a pull towards `prior`."""
    light = np.empty((3, 9))
    for channel in range(3):
        gram, side = np.zeros((9, 9)), np.zeros(9)
        for basis, seen, weight in zip(functions, colours[..., channel], weights, strict=True):
            slopes = basis * albedo[:, channel, None]
            gram += (slopes * weight[:, None]).T @ slopes
            side += (slopes * weight[:, None]).T @ seen
        pull = (strength * gram[0, 0] / CONSTANT**2 + 1e-6) * np.eye(9)
        light[channel] = np.linalg.solve(gram + pull, side + pull @ prior[channel])
    return light


def fill_unseen(values: np.ndarray, evidence: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """`values` [V', C] with those of vertices of little evidence [V'] spread in from their neighbours."""
    known = np.clip(evidence / max(LEAST_WEIGHT * float(np.median(evidence)), 1e-9), 0, 1)[:, None]
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    near = sparse.coo_matrix((np.ones(len(ends), np.float32), ends.T), (len(values), len(values)))
    near = (near + near.T).tocsr()
    counts = np.maximum(np.asarray(near.sum(1)), 1)
    mean = (values * known).sum(0) / known.sum()
    filled = known * values + (1 - known) * mean
    if known.min() < 1:
        for _ in range(FILL_STEPS):
            filled = known * values + (1 - known) * (near @ filled) / counts
    return filled.astype(np.float32)
