"""Training data of the compact renderer: heads cropped out of a clip at the renderer's scale, with points and pose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from talkingface.face.morphable import FaceFit
from talkingface.person.heads import frame_pose
from talkingface.systems.headpose.compositing.composite import VIEW_CENTRE, VIEW_SIDE

REGION_SIDE = 2.8  # side of the cropped region in model units: the view, and room for the head to be moved


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadCrops:
    """Frames uint8 [N, R, R, 3] cropped around the head, with landmarks, poses and expressions.

    `numbers` int [N]: frames of the clip, at its fit's rate. `points` float32 [N, 478, 3], the poses (`rotation` [N, 3,
    3], `scale` [N], `translation` [N, 3]: see `frame_pose`) and `offsets` [N, 2] are in pixels of the whole picture at
    this scale; frame pixel = whole pixel - offset. `expression` float32 [N, E].
    """

    frames: np.ndarray
    numbers: np.ndarray
    offsets: np.ndarray
    points: np.ndarray
    rotation: np.ndarray
    scale: np.ndarray
    translation: np.ndarray
    expression: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)


def crop_heads(
    pictures: Iterable[np.ndarray], points: np.ndarray, fit: FaceFit, keep: np.ndarray, view_px: int
) -> HeadCrops:
    """Crop the frames numbered in `keep` (rising) out of `pictures`, all frames of the clip in order.

    `points` float32 [T, 478, 3] are the clip's landmarks. The whole clip has one scale, at which the view of a head of
    median size has `view_px` pixels.
    """
    factor = view_px / (VIEW_SIDE * float(np.median(fit.scale[keep])))
    side = int(np.ceil(REGION_SIDE / VIEW_SIDE * view_px))
    wanted = set(keep.tolist())
    frames, offsets, poses = [], [], []
    for number, rgb in enumerate(pictures):
        if number not in wanted:
            continue
        pose = frame_pose(fit, number).moved(factor, np.zeros(2))
        centre = pose.apply(np.array([VIEW_CENTRE]))[0, :2]
        offset = np.round(centre - side / 2)
        frames.append(_crop(rgb, factor, offset, side))
        offsets.append(offset)
        poses.append(pose)
        if len(frames) == len(wanted):
            break
    return HeadCrops(
        frames=np.stack(frames),
        numbers=np.asarray(keep),
        offsets=np.array(offsets),
        points=(points[keep] * factor).astype(np.float32),
        rotation=np.stack([pose.rotation for pose in poses]),
        scale=np.array([pose.scale for pose in poses]),
        translation=np.stack([pose.translation for pose in poses]),
        expression=fit.expression[keep].astype(np.float32),
    )


def _crop(rgb: np.ndarray, factor: float, offset: np.ndarray, side: int) -> np.ndarray:
    if factor < 0.75:  # warpAffine does not average
        rgb = cv2.GaussianBlur(rgb, (0, 0), 0.4 / factor)
    shift = factor / 2 - 0.5  # OpenCV's pixel centres lie at whole numbers
    matrix = np.array([[factor, 0, shift - offset[0]], [0, factor, shift - offset[1]]])
    flags = cv2.INTER_LINEAR if factor < 1.5 else cv2.INTER_CUBIC
    return cv2.warpAffine(rgb, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
