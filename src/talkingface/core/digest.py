"""Hashes of values in memory: equal for equal contents. Those of files: `core.cache.content_hash`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable

import numpy as np

from talkingface.core.cache import content_hash
from talkingface.core.types import Avatar


def avatar_digest(avatar: Avatar) -> str:
    """SHA-256 over everything that an avatar is: system, card, tensors, contents of its files."""
    facts = [avatar.system, avatar.card, sorted(avatar.tensors), sorted(avatar.files)]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    digest.update(array_digest(avatar.tensors[name] for name in sorted(avatar.tensors)).encode())
    for name in sorted(avatar.files):
        digest.update(content_hash(avatar.files[name]).encode())
    return digest.hexdigest()


def array_digest(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 over kinds, shapes and values of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def background_key(background: str) -> str:
    """What a `Controls.background` stands for: a picture counts by its content."""
    return content_hash(background) if os.path.isfile(background) else background
