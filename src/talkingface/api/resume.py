"""The key of a job: equal for equal results, so that a killed one can go on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from talkingface import __version__
from talkingface.core.cache import content_hash, user_path
from talkingface.core.options import PictureOptions
from talkingface.core.picture_folder import is_picture_folder
from talkingface.core.system import System
from talkingface.core.types import Audio, Avatar, Motion


def job_key(*, face: Any, speech: Any, system: System, options: PictureOptions, motion: Motion | None = None) -> str:
    """SHA-256 over the contents of everything that decides the result: inputs, options, weights, version.

    Files and folders of pictures count by content, wherever they lie, whether they are inputs or named in `options`
    (drive, pose, background).
    """
    weights = None if system.weights is None else system.weights.card.get("sha256")
    plain = {name: _identity(value) for name, value in asdict(options).items()}
    parts = [__version__, system.SPEC.name, weights, plain, _identity(face), _identity(speech), _identity(motion)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _identity(value: Any) -> Any:
    """Something JSON-ready that is equal for equal contents."""
    if isinstance(value, (str, Path)):
        path = user_path(value)
        if path.is_dir() and (path / "card.json").is_file():
            return content_hash(path / "card.json")  # names the hashes of everything else in the folder
        return content_hash(path) if path.is_file() or is_picture_folder(path) else str(value)
    if isinstance(value, Audio):
        return [value.rate_hz, _digest([value.samples])]
    if isinstance(value, Avatar):
        return [
            _digest(value.tensors[name] for name in sorted(value.tensors)),
            *map(content_hash, value.files.values()),
        ]
    if isinstance(value, Motion):
        return [value.space, value.fps, *(_identity(part) for part in (value.expression, value.pose, value.blink))]
    return _digest([value]) if isinstance(value, np.ndarray) else value


def _digest(arrays: Iterable[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
