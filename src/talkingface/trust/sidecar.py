"""Where the content credentials of a result lie: in the file, or in one beside it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from talkingface.core.cache import name_beside
from talkingface.core.errors import InputError

EMBEDDING = {".mp4": "video/mp4", ".mov": "video/quicktime"}
"""Containers of results that hold credentials, and how C2PA calls them."""


MOST_BYTES = 64 << 20


def sidecar_of(path: Path) -> Path:
    """Where the credentials of a file lie whose container cannot hold them."""
    return name_beside(path, ".c2pa")


def read_sidecar(path: Path) -> bytes | None:
    """The file of credentials beside `path`; None where there is none. Raises OSError, InputError for one that is far
    larger than credentials are."""
    place = sidecar_of(path)
    if not place.is_file():
        return None
    if place.stat().st_size > MOST_BYTES:
        raise InputError(f"{place} is far larger than credentials are")
    return place.read_bytes()


def remove_sidecar(part: Path, target: Path) -> None:
    """A file without credentials, written as `part`, is about to become `target`: those of an earlier file go."""
    if target.suffix.lower() not in EMBEDDING:
        with contextlib.suppress(OSError):
            sidecar_of(target).unlink(missing_ok=True)
