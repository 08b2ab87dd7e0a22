"""Mouths and sound of prepared clips as training material for the sync expert, and their augmentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from talkingface.audio.mel import NUM_BANDS
from talkingface.audio.sync_mel import centred_columns, without_level
from talkingface.clips.manifest import prepared_clips, prepared_file
from talkingface.core.arrays import save_arrays
from talkingface.face.mouth_view import MouthView, mouth_crop, mouth_view, without_contrast
from talkingface.training.prepare import RATE_HZ

SPEEDS = (1.0, 0.9, 0.95, 1.06, 1.12)
"""Playing speeds: tempo, pitch and formants change together."""
_BAND = np.arange(NUM_BANDS, dtype=np.float32)
_LOUDEST_MISSED = 1e-3  # a clip that never gets louder has no sound
_DB = np.log(10) / 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncClip:
    """A clip for the expert: `view` (held-back frames count as unseen), `samples` float32 [N] at 16 kHz."""

    slug: str
    person: str
    view: MouthView
    samples: np.ndarray


def make_views(prepared: Path, folder: Path) -> None:
    """Write the mouth view of every prepared clip to `folder`; those already there are skipped."""
    from talkingface.video.read import read_frames

    folder.mkdir(parents=True, exist_ok=True)
    for clip in prepared_clips(prepared):
        target = prepared_file(folder, clip.slug)
        if target.is_file() or not clip.speaks:
            continue
        track = clip.load_track()
        frames = zip(read_frames(clip.path), track.landmarks, strict=False)
        crops = np.stack([mouth_crop(frame.rgb, points) for frame, points in frames])
        count = len(crops)
        view = mouth_view(crops, track.landmarks[:count], track.times_s[:count], track.confidence[:count])
        save_arrays(target, crops=view.crops, shape=view.shape, seen=view.seen)


def sync_clips(prepared: Path, views: Path, split: str) -> Iterator[SyncClip]:
    """Clips of a split with sound and a visible face."""
    for clip in prepared_clips(prepared, split):
        path = prepared_file(views, clip.slug)
        if not clip.speaks or not path.is_file():
            continue
        with np.load(path, allow_pickle=False) as file:
            seen = file["seen"] & clip.free(len(file["seen"]))
            view = MouthView(crops=file["crops"], shape=file["shape"], seen=seen)
        samples = clip.load_samples()
        if np.abs(samples).max(initial=0) > _LOUDEST_MISSED and seen.sum() > 20:
            yield SyncClip(slug=clip.slug, person=clip.identity, view=view, samples=samples)


def heard_differently(samples: np.ndarray, speed: float, rng: np.random.Generator) -> np.ndarray:
    """Columns float16 [T, 80] of the sound at another speed, by another voice, microphone and in another room."""
    if speed != 1.0:
        samples = soxr.resample(samples, RATE_HZ * speed, RATE_HZ)
    columns = centred_columns(samples)
    if rng.random() < 0.7:  # another vocal tract
        at = np.clip(_BAND * rng.uniform(0.9, 1.12) + rng.uniform(-1, 1), 0, NUM_BANDS - 1.01)
        low = at.astype(int)
        columns = columns[:, low] * (1 - (at - low)) + columns[:, low + 1] * (at - low)
    columns = columns + _tone(4, 2, rng)
    if rng.random() < 0.6:
        level = np.percentile(columns.max(axis=1), 90) - rng.uniform(8, 45)
        flicker = 10 * np.log10(rng.gamma(3.0, 1 / 3, columns.shape) + 1e-3)
        columns = np.logaddexp(columns * _DB, (level + _tone(8, 3, rng) + flicker) * _DB) / _DB
    return without_level(columns).astype(np.float16)


def _tone(tilt_db: float, wave_db: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth random frequency response in dB, [80]."""
    x = _BAND / (NUM_BANDS - 1)
    wave = np.cos(2 * np.pi * x * rng.uniform(0.5, 2) + rng.uniform(0, 6))
    return rng.normal(0, tilt_db) * 2 * (x - 0.5) + rng.normal(0, wave_db) * wave


def at_speed(view: MouthView, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shapes [K, P, 3], pictures float32 [K, h, w] and seen [K] at fractional frames `positions` [K]."""
    known = positions <= len(view) - 1
    before = np.minimum(positions.astype(int), len(view) - 2)
    share = np.clip(positions - before, 0, 1).astype(np.float32)[:, None, None]
    shape, crops = (rows[before] * (1 - share) + rows[before + 1] * share for rows in (view.shape, view.crops))
    return shape, crops, known & view.seen[before] & view.seen[before + 1]


def seen_differently(crops: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pictures float32 [K, h, w] as they would look shifted, in other light, blurred or mirrored; mean about 0."""
    crops = np.roll(crops, (int(rng.integers(-2, 3)), int(rng.integers(-2, 3))), axis=(1, 2))
    if rng.random() < 0.3:
        crops = (crops + sum(np.roll(crops, step, axis) for step in (-1, 1) for axis in (1, 2))) / 5
    values = without_contrast(crops) * np.float32(rng.uniform(0.7, 1.3)) + np.float32(rng.uniform(-0.3, 0.3))
    side_light = np.float32(rng.uniform(-0.4, 0.4)) * np.linspace(-1, 1, crops.shape[2], dtype=np.float32)
    values = values + side_light + np.float32(rng.uniform(0, 0.1)) * rng.standard_normal(crops.shape, np.float32)
    return values[:, :, ::-1] if rng.random() < 0.5 else values


def mirrored_order(shape: np.ndarray) -> np.ndarray:
    """Which point of a mean shape [P, 3] becomes which when left and right change places: int [P]."""
    other = shape * np.array([-1, 1, 1])
    return np.argmin(((shape[:, None] - other[None]) ** 2).sum(-1), axis=1)
