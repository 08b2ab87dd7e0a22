"""Pairs of frames of one person for the compact networks: one gives the identity, the other what is to be drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from talkingface.core.progress import report_progress
from talkingface.face.mouth_measures import mouth_measures
from talkingface.face.topology import INNER_LIP_LOWER, INNER_LIP_UPPER
from talkingface.systems.pcavs.alignment.align import SIZE_PX, head_shifts, shifted
from talkingface.systems.pcavs.alignment.crop import EYES, SIDE_PX, on_square, square_matrix, view
from talkingface.systems.pcavs.compact.views import hide_mouth, mouth_view, pose_view
from talkingface.systems.pcavs.config import CompactConfig
from talkingface.systems.pcavs.data.augment import Augmentation, draw_augmentation
from talkingface.systems.pcavs.data.crops import CropClip
from talkingface.systems.pcavs.pose.pose_features import FEATURE_UNITS, closures, pose_features, raised_brows
from talkingface.systems.pcavs.pose.pose_map import PoseMap, regress_pose_map
from talkingface.training.mouth_targets import MEASURE_SCALE
from talkingface.training.sampling import person_shares

APART = 12
"""Frames between the two of a pair, where the clip is long enough."""
CANDIDATES = 4
"""Of so many frames the second one is chosen, by `Choice`."""
LIVELY = np.radians(4)
"""Standard deviation of a head's turns that makes a clip worth twice as much as one that hardly moves."""
RESHAPED = 0.3
"""How often proportions change, too. The published augmentation changes them always; with that, the pose code could not
hold to the pixel where the head is."""
MOST_TURN, MOST_GROWTH, MOST_SHIFT = np.radians(5), 0.09, 0.08
"""Of the random placement of both pictures: turn in radians, relative size, shift in halves of the side."""
LONG_FRAMES = 250
"""Frames from which a clip counts no more than a shorter one."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How often the second frame of a pair is the one whose head is turned furthest from the first, whose mouth gapes
    most differently, whose eyes are shut furthest (of twice as many: blinks are rare); else it is any."""

    turned: float = 0.5
    mouth: float = 0.0
    shut: float = 0.0


PoseEncoder = Callable[[CropClip, np.ndarray, list[dict[str, Any]]], np.ndarray]
"""A clip, numbers of K frames and their `Pairs.pair` rows -> pose codes [K, P]."""


@dataclass(frozen=True, slots=True)
class ClipFeatures:
    """Measured of each frame of a clip: `shift` [T, 2] makes its crop follow the head, `points` [T, 478, 2] lie in the
    shifted one; `turns` [T, 3] rotation vectors, `rotation` [T, 3, 3], `closure` and `brows` [T], `mouth` [T, 3]."""

    shift: np.ndarray
    points: np.ndarray
    turns: np.ndarray
    rotation: np.ndarray
    closure: np.ndarray
    brows: np.ndarray
    mouth: np.ndarray


def clip_features(clip: CropClip) -> ClipFeatures:
    """Measure a clip."""
    shift = head_shifts(clip.matrices)
    points = clip.landmarks.astype(np.float64) + shift[:, None]
    measures = mouth_measures(points)
    # a gap has a true zero; width and jaw are about the person's own
    mouth = measures - np.array([0, *np.median(measures[:, 1:], axis=0)])
    return ClipFeatures(
        shift=shift,
        points=points,
        turns=clip.pose.astype(np.float64),
        rotation=Rotation.from_rotvec(clip.pose).as_matrix(),
        closure=closures(points),
        brows=raised_brows(points),
        mouth=(mouth / MEASURE_SCALE).astype(np.float32),
    )


@dataclass(frozen=True, slots=True)
class Placement:
    """A random place of the face: `matrix` [2, 3] crop -> square, `turn` in the picture in radians, `mirrored`."""

    matrix: np.ndarray
    turn: float
    mirrored: bool


def place(rng: np.random.Generator, size_px: int, mirrored: bool) -> Placement:
    """Draw one."""
    turn = float(rng.normal() * MOST_TURN / 2)
    growth = float(np.exp(rng.normal() * MOST_GROWTH / 2))
    shift = rng.normal(size=2) * MOST_SHIFT / 2 * size_px / 2
    base = square_matrix(size_px)
    middle = (size_px - 1) / 2
    spin = growth * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = np.column_stack([spin @ base[:, :2], spin @ (base[:, 2] - middle) + middle + shift])
    if mirrored:
        matrix = np.diag([-1.0, 1.0]) @ matrix
        matrix[0, 2] += size_px - 1
    return Placement(matrix, turn, mirrored)


def placed_features(features: ClipFeatures, number: int, points: np.ndarray, placed: Placement) -> np.ndarray:
    """`pose.pose_features` of a frame, float32 [8], whose square points are `points`."""
    cos, sin = np.cos(placed.turn), np.sin(placed.turn)
    rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ features.rotation[number]
    if placed.mirrored:
        mirror = np.diag([-1.0, 1.0, 1.0])
        rotation = mirror @ rotation @ mirror
    return pose_features(rotation, points, features.closure[number], features.brows[number])


def inner_mouth(points: np.ndarray, size_px: int) -> np.ndarray:
    """What lies between the lips of points [478, 2] in [-1, 1], and the pixel around it, so that a shut mouth has its
    line: uint8 [size_px, size_px], 255 inside."""
    ring = points[[*INNER_LIP_UPPER, *INNER_LIP_LOWER[-2:0:-1]]]
    pixels = (ring + 1) / 2 * size_px - 0.5
    mask = np.zeros((size_px, size_px), np.uint8)
    cv2.fillPoly(mask, [np.round(pixels * 16).astype(np.int32)], (255,), lineType=cv2.LINE_AA, shift=4)
    return mask


class Pairs:
    """Draws training pairs from clips."""

    def __init__(
        self, clips: Sequence[CropClip], config: CompactConfig, *, augmented: bool = True, choice: Choice = Choice()
    ) -> None:
        self._clips = [clip for clip in clips if int((clip.weight > 0).sum()) >= 2]
        self._features = [clip_features(clip) for clip in self._clips]
        self._usable = [np.flatnonzero(clip.weight > 0) for clip in self._clips]
        lengths = [min(len(usable), LONG_FRAMES) ** 0.5 for usable in self._usable]
        share = person_shares([clip.person for clip in self._clips], lengths)
        # still heads show little of what a pose code is for
        share *= [0.5 + min(2.0, float(features.turns.std(axis=0).max()) / LIVELY) for features in self._features]
        self._share = share / share.sum()
        self._config, self._augmented, self._choice = config, augmented, choice

    def __len__(self) -> int:
        return len(self._clips)

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, Tensor]:
        """A batch. Pictures uint8: `source`, `target` [B, S, S, 3], `own_pose`, `pose` [B, P, P, 3], `mouth` [B, M, M],
        `inside` [B, S, S], 255 between the target's lips; points float32 [B, 478, 2] `source_points`, `target_points`;
        `own_features`, `pose_features` [B, 8] of both pictures, `mouth_features` [B, 3] of the target; `exact` [B]: 1
        where the pose picture keeps its proportions."""
        rows = [self._pair(rng, int(rng.choice(len(self._clips), p=self._share))) for _ in range(count)]
        return {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}

    def clip(self, number: int) -> CropClip:
        """One of the clips that are drawn from: those with two usable frames."""
        return self._clips[number]

    def mean_points(self) -> np.ndarray:
        """Mean points on the square, float32 [478, 2]."""
        mean = np.mean([features.points.mean(axis=0) for features in self._features], axis=0)
        return on_square(mean, square_matrix(self._config.size_px), self._config.size_px)

    def some_frames(self, clip: int, count: int) -> np.ndarray:
        """At most `count` usable frames of a clip, evenly chosen."""
        usable = self._usable[clip]
        return usable[np.unique(np.linspace(0, len(usable) - 1, count).astype(int))]

    def pair(self, clip: int, source: int, target: int) -> dict[str, Any]:
        """One pair, nothing random: for measuring."""
        plain = Placement(square_matrix(self._config.size_px), 0.0, False)
        return self._make(clip, (source, target), (plain, plain), None, False)

    def _pair(self, rng: np.random.Generator, number: int) -> dict[str, Any]:
        usable = self._usable[number]
        source = int(rng.choice(usable))
        far = usable[np.abs(usable - source) >= APART]
        target = self._second(rng, number, source, far if len(far) else usable)
        mirrored = bool(rng.integers(2)) and self._augmented
        size = self._config.size_px
        placed = place(rng, size, mirrored), place(rng, size, mirrored)
        change = draw_augmentation(rng, 1) if self._augmented else None
        return self._make(number, (source, target), placed, change, bool(rng.random() < RESHAPED))

    def _second(self, rng: np.random.Generator, number: int, source: int, frames: np.ndarray) -> int:
        """The second frame of a pair, one of `frames` [K], by `Choice`."""
        features, choice = self._features[number], self._choice
        kind = int(np.searchsorted(np.cumsum([choice.turned, choice.mouth, choice.shut]), rng.random(), side="right"))
        chosen = rng.choice(frames, (CANDIDATES, CANDIDATES, 2 * CANDIDATES, 1)[kind])
        worth = (
            np.abs(features.turns[chosen] - features.turns[source]).sum(axis=1),
            np.abs(features.mouth[chosen, 0] - features.mouth[source, 0]),
            features.closure[chosen],
            np.zeros(1),
        )[kind]
        return int(chosen[np.argmax(worth)])

    def _make(
        self, number: int, chosen: tuple[int, int], placed: tuple[Placement, Placement], change: Augmentation | None,
        reshaped: bool,
    ) -> dict[str, Any]:  # fmt: skip
        features, config = self._features[number], self._config
        size = config.size_px
        both = list(zip(chosen, placed, strict=True))
        pictures = [
            view(frame, shifted(p.matrix, features.shift[n]), size, cv2.BORDER_REFLECT_101)
            for frame, (n, p) in zip(self._clips[number].frames(chosen), both, strict=True)
        ]
        points = [on_square(features.points[n], p.matrix, size) for n, p in both]
        # the boxes around mouths grow with the picture
        own_eyes, eyes = (EYES * float(np.hypot(*p.matrix[:, 0])) * SIDE_PX / size for p in placed)
        # the mouth is hidden before anything is changed: no augmentation may bring it back
        pose = hide_mouth(pictures[1], points[1], eyes)
        mouth = mouth_view(pictures[1], points[1], config.mouth_px, eyes)
        if change is not None:
            pose = change.coloured(pose[None])[0]
            mouth = np.clip(mouth * change.factor, 0, 255).astype(np.uint8)
        if change is not None and reshaped:
            pose = change.reshaped(cv2.resize(pose, (SIZE_PX, SIZE_PX))[None])[0]
        pose = cv2.resize(pose, (config.pose_px, config.pose_px), interpolation=cv2.INTER_AREA)
        if change is not None and change.blur_sizes:
            # the widest published blurs would leave no eyes in a picture of 64 pixels
            pose = cv2.medianBlur(pose, min(change.blur_sizes[0], 5))
        own_features, other_features = (
            placed_features(features, n, at, p) for (n, p), at in zip(both, points, strict=True)
        )
        return {
            "source": pictures[0],
            "target": pictures[1],
            "source_points": points[0],
            "target_points": points[1],
            "inside": inner_mouth(points[1], size),
            "own_pose": pose_view(pictures[0], points[0], config.pose_px, own_eyes),
            "pose": pose,
            "mouth": mouth,
            "own_features": own_features,
            "pose_features": other_features,
            "mouth_features": features.mouth[chosen[1]],
            "exact": np.float32(not reshaped),
        }


def fit_pose_map(clips: Sequence[CropClip], config: CompactConfig, encode: PoseEncoder, frames: int = 24) -> PoseMap:
    """The pose map of a network from `frames` frames of each clip; `encode` gives their pose codes."""
    pairs = Pairs(clips, config, augmented=False)
    codes, features = [], []
    for number in range(len(pairs)):
        report_progress("mapping poses", number, len(pairs))
        chosen = pairs.some_frames(number, frames)
        rows = [pairs.pair(number, int(frame), int(frame)) for frame in chosen]
        own, measured = encode(pairs.clip(number), chosen, rows), np.stack([row["pose_features"] for row in rows])
        # about the person's mean: what is left between people is not pose
        codes.append(own - own.mean(axis=0))
        features.append(measured - measured.mean(axis=0))
    return regress_pose_map(np.concatenate(codes), np.concatenate(features), FEATURE_UNITS)
