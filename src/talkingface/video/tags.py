"""What the metadata of a media file says, as text."""

from __future__ import annotations

from pathlib import Path

from talkingface.video.container import open_media

_LONGEST = 1000  # characters of a value; what somebody sends may hold anything


def read_tags(path: str | Path) -> dict[str, str]:
    """Metadata of the container, keys in lower case. Raises InputError for a file that is no sound or video."""
    with open_media(path) as container:
        return {str(key).lower(): str(value)[:_LONGEST] for key, value in container.metadata.items()}
