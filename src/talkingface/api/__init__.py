"""All that the apps may call, and what `import talkingface` offers."""

from talkingface.api.animation import Animation
from talkingface.api.tracking import TrackedFace, head_angles_deg, track
from talkingface.api.training import train
from talkingface.api.verbs import animate, fit, load, motion, render

__all__ = [
    "Animation",
    "TrackedFace",
    "animate",
    "fit",
    "head_angles_deg",
    "load",
    "motion",
    "render",
    "track",
    "train",
]
