"""Pictures of mouths: what the mouth network sees of a tracked clip, and clips of them with what was said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from talkingface.clips.manifest import prepared_clips
from talkingface.core.progress import report_progress
from talkingface.face.morphable import inner_lip_gap, load_mesh478
from talkingface.systems.pcavs.alignment.crop import view
from talkingface.systems.pcavs.data.crops import crop_clips, moved_sound
from talkingface.training.speaking_clips import load_speaking_clip
from talkingface.training.speech_recipe import clip_targets

EYES = ((33, 133), (362, 263))
NOSE_TIP = 1
BELOW, SIDE = 0.68, 1.32
"""Middle of the mouth's square below the tip of the nose, and its side, in distances of the eyes' centres."""
WIDER = 4 / 3
"""How much more than the network sees is kept for training, which moves it about."""
USUAL_DISTANCE = 0.9
"""Quantile of the eyes' distances that is a clip's: turned heads have shorter ones."""
QUIET_SHARE = 15
"""Per cent of a clip's frames, those with the least open mouth, that show it at rest (as in `morphable.fit_track`)."""


def mouth_matrices(points: np.ndarray, seen: np.ndarray, size_px: int, wider: float = 1.0) -> np.ndarray:
    """Matrices float64 [T, 2, 3] (OpenCV's pixel numbers) from the pictures of a clip with landmarks [T, 478, 2 or 3]
    to the squares of its mouth, `wider` than what the network sees; `seen` bool [T].

    They follow the tip of the nose and the eyes' slope; their size is that of the clip.
    """
    left, right = (points[:, list(eye), :2].mean(axis=1, dtype=np.float64) for eye in EYES)
    across = right - left
    far = np.linalg.norm(across, axis=1)
    distance = float(np.quantile(far[seen] if seen.any() else far, USUAL_DISTANCE))
    x, y = (across / np.maximum(far, 1e-6)[:, None]).T
    turned = np.stack([np.stack([x, y], -1), np.stack([-y, x], -1)], axis=1)  # to upright
    middle = points[:, NOSE_TIP, :2] + BELOW * distance * turned[:, 1]
    linear = size_px / (SIDE * wider * max(distance, 1e-6)) * turned
    shift = size_px / 2 - 0.5 - np.einsum("tij,tj->ti", linear, middle - 0.5)
    return np.concatenate([linear, shift[..., None]], axis=2)


def mouth_picture(rgb: np.ndarray, matrix: np.ndarray, size_px: int) -> np.ndarray:
    """The mouth of a picture uint8 [H, W, 3] whose matrix is given: grey uint8 [size_px, size_px]."""
    return cv2.cvtColor(view(rgb, matrix, size_px), cv2.COLOR_RGB2GRAY)


def quiet_frames(points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Numbers of the frames that show the mouth at rest, of landmarks [T, 478, 2 or 3] of which some are `seen` [T]."""
    gap = np.where(seen, inner_lip_gap(points), np.inf)
    return np.flatnonzero(gap <= np.percentile(gap[seen], QUIET_SHARE)) if seen.any() else np.arange(len(gap))


@dataclass(frozen=True, slots=True, kw_only=True)
class MouthClip:
    """A clip of T frames: `pictures` uint8 [T, S, S], `WIDER` than what the network sees; `quiet` numbers of frames
    that show the mouth at rest; `targets` float32 [T, 16 + 3] its coefficients and measures, about those at rest;
    `weight` [T], 0 where the face was not seen or the frame is held back. `samples` float32 [N] at 16 kHz, as late as
    the lips; None: the sound is not this face's.
    """

    slug: str
    person: str
    pictures: np.ndarray
    quiet: np.ndarray
    targets: np.ndarray
    weight: np.ndarray
    samples: np.ndarray | None

    def __len__(self) -> int:
        return len(self.weight)


def mouth_clips(crops: Path, prepared: Path, mouth_px: int, split: str) -> Iterator[MouthClip]:
    """The clips of a split, from a folder of crops (`data.crops`) and the prepared folder that they were cut from."""
    model, entries = load_mesh478(), {clip.slug: clip for clip in prepared_clips(prepared, split)}
    clips = [clip for clip in crop_clips(crops, split=split) if clip.slug in entries]
    side = round(WIDER * mouth_px)
    for number, clip in enumerate(clips):
        report_progress("looking at mouths", number, len(clips))
        found = load_speaking_clip(entries[clip.slug], model)
        count = min(len(clip), len(found))
        weight = np.minimum(clip.weight[:count], found.weight[:count])
        if weight.sum() < 2:
            continue
        points, seen = clip.landmarks[:count].astype(np.float32), weight > 0
        matrices = mouth_matrices(points, seen, side, WIDER)
        yield MouthClip(
            slug=clip.slug,
            person=clip.person,
            pictures=np.stack(
                [mouth_picture(clip.frames([k])[0], matrix, side) for k, matrix in enumerate(matrices)]
            ),
            quiet=quiet_frames(points, seen),
            targets=clip_targets(found)[:count, :-1],
            weight=weight,
            samples=moved_sound(found.samples, clip.late_s, count) if clip.speaks else None,
        )  # fmt: skip
