"""The 224 px face crop: five points, the weak-perspective fit to a template, the cut, and the way back to the frame.

The maths is that of Yi et al. 2020 (their preprocessing follows Deng et al. 2019). By default pixels have their centres
at one half, as everywhere in this toolkit, and nothing is rounded. `reference=True` counts pixels from their corners
and rounds where the published programs do; only networks trained by those need it.

    points = five_points(track.landmarks)                       # [T, 5, 2]
    transforms = fit_crops(points, track.size)                  # one a frame
    own = crop_picture(frame, transforms[k])                    # the face centred, for R-Net
    fixed = crop_picture(frame, transforms[0])                  # the camera of frame 0
    shift = crop_shift(points[k], transforms[k], transforms[0])
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkingface.face.deep3d import CROP_PX

RESCALE = 102.0  # pixels in the crop per unit of the template
TEMPLATE = np.array(
    [
        [-0.31148657, 0.29036078, 0.13377953],
        [0.30979887, 0.28972036, 0.13179526],
        [0.0032535, -0.04617932, 0.55244243],
        [-0.25216928, -0.38133916, 0.22405732],
        [0.2484662, -0.38128236, 0.22235769],
    ]
)
"""Eye at the picture's left, other eye, nose tip, mouth corners: 10 cm, x right, y up, z to the viewer."""

_EYES = (33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380)
_NOSE_TIP, _NOSE_BASE = 1, 2
_CORNERS = 61, 291


@dataclass(frozen=True, slots=True)
class CropTransform:
    """Where a crop lies in its frame of `size` (width, height).

    `scale` crop pixels per frame pixel; (`tx`, `ty`) the frame's point at the crop's centre, `ty` measured upwards.
    """

    size: tuple[int, int]
    scale: float
    tx: float
    ty: float
    reference: bool = False

    def row(self) -> np.ndarray:
        """The published `trans_params`, float32 [5]: width, height, scale, tx, ty."""
        return np.array([*self.size, self.scale, self.tx, self.ty], np.float32)

    @property
    def origin(self) -> tuple[float, float]:
        """The frame's point (x, y), y down, at the crop's upper left corner."""
        half = CROP_PX / 2 / self.scale
        return self.tx - half, self.size[1] - self.ty - half

    @property
    def resized(self) -> tuple[int, int]:
        """Size (width, height) of the whole frame at the crop's scale, cut to whole pixels."""
        unscaled = RESCALE / self.scale
        return int(self.size[0] / unscaled * RESCALE), int(self.size[1] / unscaled * RESCALE)


@dataclass(frozen=True, slots=True)
class PasteBox:
    """The square of a frame that a crop came from: upper left corner and side, in frame pixels."""

    x: float
    y: float
    side: float

    def row(self) -> np.ndarray:
        """The published `transbig`, float32 [4]: width, height, x, y."""
        return np.array([self.side, self.side, self.x, self.y], np.float32)


def five_points(landmarks: np.ndarray, *, reference: bool = False) -> np.ndarray:
    """Five points [..., 5, 2] of landmarks [..., 478, 2 or 3]: eyes, nose tip, mouth corners; pixels, y down.

    The original took whole pixels and the nose's lower end for its tip; with `reference` so do we.
    """
    xy = np.asarray(landmarks, np.float64)[..., :2]
    eyes = [xy[..., eye, :].mean(-2) for eye in _EYES]
    nose = xy[..., _NOSE_BASE if reference else _NOSE_TIP, :]
    points = np.stack([*eyes, nose, *(xy[..., corner, :] for corner in _CORNERS)], -2)
    return np.rint(points - 0.5) if reference else points


def fit_crops(points: np.ndarray, size: tuple[int, int], *, reference: bool = False) -> list[CropTransform]:
    """The crop of each frame from its five points [T, 5, 2], for frames of `size` (width, height)."""
    upwards = np.array(points, np.float64)
    upwards[..., 1] = _top(size, reference) - upwards[..., 1]
    design = np.concatenate([TEMPLATE, np.ones((5, 1))], 1)
    solved = np.linalg.pinv(design) @ upwards  # [T, 4, 2]: a row of the projection and an offset for x and for y
    scales = np.linalg.norm(solved[:, :3], axis=1).mean(-1)
    rows = zip(scales, solved[:, 3], strict=True)
    return [CropTransform(size, float(RESCALE / s), float(t[0]), float(t[1]), reference) for s, t in rows]


def to_crop(points: np.ndarray, transform: CropTransform) -> np.ndarray:
    """Frame points [..., N, 2] in pixels of the crop, y down in both."""
    x, y = np.asarray(points, np.float64)[..., 0], np.asarray(points, np.float64)[..., 1]
    size, scale = transform.size, transform.scale
    # the published programs centre the resized frame, whose size is cut to whole pixels
    width, height = transform.resized if transform.reference else (size[0] * scale, size[1] * scale)
    across = (x - transform.tx + size[0] / 2) * scale - (width / 2 - CROP_PX / 2)
    upwards = _top(size, transform.reference) - y
    up = (upwards - transform.ty + size[1] / 2) * scale - (height / 2 - CROP_PX / 2)
    return np.stack([across, _top((CROP_PX, CROP_PX), transform.reference) - up], -1)


def crop_picture(rgb: np.ndarray, transform: CropTransform) -> np.ndarray:
    """The crop uint8 [224, 224, 3] of a frame uint8 [H, W, 3]; what lies outside the frame is black."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(rgb))
    if transform.reference:
        return _reference_crop(picture, transform)
    left, top = transform.origin
    side = CROP_PX / transform.scale
    margin = 4 / transform.scale + 1  # the filter looks three crop pixels beyond the box
    corner = int(np.floor(left - margin)), int(np.floor(top - margin))
    end = int(np.ceil(left + side + margin)), int(np.ceil(top + side + margin))
    around = picture.crop((*corner, *end))  # black outside the frame
    box = left - corner[0], top - corner[1], left - corner[0] + side, top - corner[1] + side
    return np.asarray(around.resize((CROP_PX, CROP_PX), Image.Resampling.LANCZOS, box=box))


def crop_shift(points: np.ndarray, own: CropTransform, first: CropTransform) -> np.ndarray:
    """How far [2] a face drawn in its own crop must move, in pixels, to lie where it lies in the crop of frame 0.

    `points` [5, 2]: the frame's five points.
    """
    return (to_crop(points, first) - to_crop(points, own)).mean(0)


def paste_box(transform: CropTransform, points: np.ndarray | None = None) -> PasteBox:
    """The square of the frame that the crop shows.

    A `reference` transform needs the five `points` [5, 2] of its frame: the original measures the square by them and
    rounds it to whole pixels. Raises ValueError without.
    """
    if not transform.reference:
        return PasteBox(*transform.origin, CROP_PX / transform.scale)
    if points is None:
        raise ValueError("the reference rectangle is measured by the frame's five points")
    inside = to_crop(points, transform)
    (a, b, _, c, d), (e, f, _, g, h) = points[:, 0], inside[:, 0]
    scale = float(np.mean([(b - a) / (f - e), (d - c) / (h - g)]))
    x, y = np.rint((points - inside * scale).mean(0))
    return PasteBox(float(x), float(y), float(np.rint(CROP_PX * scale)))


def _reference_crop(picture: object, transform: CropTransform) -> np.ndarray:
    """Shift by whole pixels (nearest), resize the whole frame, cut at whole pixels: as published."""
    from PIL import Image

    assert isinstance(picture, Image.Image)
    width, height = transform.size
    moved = picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        (1, 0, transform.tx - width / 2, 0, 1, height / 2 - transform.ty),
        Image.Resampling.NEAREST,
    )
    w, h = transform.resized
    left, top = int(w / 2 - CROP_PX / 2), int(h / 2 - CROP_PX / 2)
    return np.asarray(moved.resize((w, h), Image.Resampling.LANCZOS).crop((left, top, left + CROP_PX, top + CROP_PX)))


def _top(size: tuple[int, int], reference: bool) -> int:
    """What y counted from the top and y counted from the bottom add up to."""
    return size[1] - 1 if reference else size[1]
