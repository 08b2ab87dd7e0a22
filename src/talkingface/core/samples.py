"""The picture and the voice that are shipped with the package."""

from __future__ import annotations

from pathlib import Path

from talkingface.core.errors import InputError

SAMPLES = Path(__file__).resolve().parent.parent / "samples"


def sample(stem: str) -> Path:
    """The shipped sample "portrait" or "speech". Raises InputError if it is not there."""
    found = sorted(SAMPLES.glob(f"{stem}.*"))
    if not found:
        raise InputError(f"the shipped sample {stem!r} is not there; name a file")
    return found[0]
