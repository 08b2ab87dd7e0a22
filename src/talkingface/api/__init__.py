"""All that the apps may call, and what `import talkingface` offers. Names are imported on first use: `animate` does not
load what only `evaluate` needs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from talkingface.api.animation import Animation
    from talkingface.api.evaluation.systems import evaluate_systems
    from talkingface.api.evaluation.videos import evaluate
    from talkingface.api.importing import import_weights, importer_kinds
    from talkingface.api.poses import is_motion_file
    from talkingface.api.preview import write_preview
    from talkingface.api.style import read_style
    from talkingface.api.tracking import TrackedFace, track
    from talkingface.api.training import make_weights, pipeline_names, train
    from talkingface.api.trust import Verification, read_bom, verify
    from talkingface.api.verbs import animate, fit, load, motion, open_viewing, render
    from talkingface.api.viewing import Shot, Viewing

_PLACES = {
    "animation": ("Animation",),
    "evaluation.systems": ("evaluate_systems",),
    "evaluation.videos": ("evaluate",),
    "importing": ("import_weights", "importer_kinds"),
    "style": ("read_style",),
    "tracking": ("TrackedFace", "track"),
    "training": ("make_weights", "pipeline_names", "train"),
    "trust": ("Verification", "read_bom", "verify"),
    "poses": ("is_motion_file",),
    "preview": ("write_preview",),
    "verbs": ("animate", "fit", "load", "motion", "open_viewing", "render"),
    "viewing": ("Shot", "Viewing"),
}

__all__ = [
    "Animation",
    "Shot",
    "TrackedFace",
    "Verification",
    "Viewing",
    "animate",
    "evaluate",
    "evaluate_systems",
    "fit",
    "import_weights",
    "importer_kinds",
    "is_motion_file",
    "load",
    "make_weights",
    "motion",
    "open_viewing",
    "pipeline_names",
    "read_bom",
    "read_style",
    "render",
    "track",
    "train",
    "verify",
    "write_preview",
]


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
