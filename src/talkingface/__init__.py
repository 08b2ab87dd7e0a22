"""A photo and a voice in, a talking video out.

    import talkingface
    talkingface.animate("me.jpg", "hi.wav").save("out.mp4")

Names are imported on first use, so that `import talkingface` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from talkingface.api import (
        Animation,
        animate,
        evaluate,
        fit,
        load,
        motion,
        read_style,
        render,
        track,
        train,
        verify,
    )
    from talkingface.apps.viewer import view
    from talkingface.core.errors import TalkingFaceError
    from talkingface.core.style import Style
    from talkingface.core.types import Audio, Avatar, Controls, Frames, Motion, Track

_PLACES = {
    **dict.fromkeys(
        (
            "Animation",
            "animate",
            "evaluate",
            "fit",
            "load",
            "motion",
            "read_style",
            "render",
            "track",
            "train",
            "verify",
        ),
        "talkingface.api",
    ),
    "view": "talkingface.apps.viewer",
    "Style": "talkingface.core.style",
    "TalkingFaceError": "talkingface.core.errors",
    **dict.fromkeys(("Audio", "Avatar", "Controls", "Frames", "Motion", "Track"), "talkingface.core.types"),
}

__all__ = [
    "Animation",
    "Audio",
    "Avatar",
    "Controls",
    "Frames",
    "Motion",
    "Style",
    "TalkingFaceError",
    "Track",
    "animate",
    "evaluate",
    "fit",
    "load",
    "motion",
    "read_style",
    "render",
    "track",
    "train",
    "verify",
    "view",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'talkingface' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
