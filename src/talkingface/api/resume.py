"""The key of a job: equal for equal results, so that a killed job can be continued."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from talkingface import __version__
from talkingface.core.cache import content_hash, user_path
from talkingface.core.digest import array_digest, avatar_digest
from talkingface.core.options import PictureOptions
from talkingface.core.picture_folder import is_picture_folder
from talkingface.core.system import System
from talkingface.core.types import Audio, Avatar, Clip, Motion, Photo
from talkingface.core.weights import find_avatar


def job_key(*, face: Any, speech: Any, system: System, options: PictureOptions, motion: Motion | None = None) -> str:
    """SHA-256 over the contents of everything that decides the result: inputs, options, weights, version.

    Files and folders of pictures count by content, wherever they lie, whether they are inputs or named in `options`
    (drive, pose, background).
    """
    weights = None if system.weights is None else dict(system.weights.card)
    plain = {name: identity_of(value) for name, value in asdict(options).items()}
    parts = [__version__, system.SPEC.name, weights, plain, identity_of(face), identity_of(speech), identity_of(motion)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def identity_of(value: Any) -> Any:
    """Something JSON-ready that is equal for equal contents: of a file its SHA-256."""
    if isinstance(value, (str, Path)) and os.fspath(value):
        path = user_path(value)
        if os.path.isdir(path) and (path / "card.json").is_file():
            return content_hash(path / "card.json")  # names the hashes of everything else in the folder
        if not os.path.exists(path) and (stored := find_avatar(str(value))):
            return identity_of(stored)
        if os.path.isfile(path):
            status = os.stat(path)
            return _file_hash(os.path.abspath(path), status.st_size, status.st_mtime_ns)
        return content_hash(path) if is_picture_folder(path) else str(value)
    if isinstance(value, Audio):
        return [value.rate_hz, array_digest([value.samples])]
    if isinstance(value, Avatar):
        return avatar_digest(value)
    if isinstance(value, Photo):
        return array_digest([value.rgb] if value.alpha is None else [value.rgb, value.alpha])
    if isinstance(value, Clip):
        return identity_of(value.path)
    if isinstance(value, Motion):
        return {field.name: identity_of(getattr(value, field.name)) for field in fields(value)}
    return array_digest([value]) if isinstance(value, np.ndarray) else value


@lru_cache(64)
def _file_hash(path: str, size: int, changed_ns: int) -> str:
    """SHA-256 of a file's contents, read once as long as it stays as it is: clips can be large, and a job's key and its
    credentials both name them."""
    return content_hash(path)
