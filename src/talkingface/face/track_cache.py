"""Tracks of videos, kept by content hash: a clip is followed once, however often it is used."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from talkingface.core.cache import cache_dir, content_hash, write_atomic
from talkingface.core.types import Track
from talkingface.face.track import VERSION, track_frames


def cached_track(
    path: Path, frames: Iterator[tuple[np.ndarray, float]], label: str, face_index: int | None = None
) -> Track:
    """The track of `frames` (rgb, time in seconds) decoded from `path`; `label` tells apart ways of decoding it."""
    name = f"{content_hash(path)[:32]}-{label}-{face_index if face_index is not None else 'largest'}-v{VERSION}.npz"
    stored = cache_dir() / "tracks" / name
    if stored.is_file():
        try:
            return _load(stored)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            stored.unlink(missing_ok=True)  # damaged: make it again
    track = track_frames(frames, face_index)
    stored.parent.mkdir(parents=True, exist_ok=True)
    with write_atomic(stored) as file:
        np.savez(
            file,
            landmarks=track.landmarks,
            times_s=track.times_s,
            confidence=track.confidence,
            size=np.array(track.size),
        )
    return track


def _load(path: Path) -> Track:
    # opened here, because np.load leaves a damaged file open
    with path.open("rb") as stored, np.load(stored, allow_pickle=False) as file:
        width, height = (int(v) for v in file["size"])
        return Track(
            landmarks=file["landmarks"], times_s=file["times_s"], confidence=file["confidence"], size=(width, height)
        )
