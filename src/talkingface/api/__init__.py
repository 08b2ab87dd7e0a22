"""All that the apps may call, and what `import talkingface` offers."""

from talkingface.api.animation import Animation
from talkingface.api.evaluation.systems import evaluate_systems
from talkingface.api.evaluation.videos import evaluate
from talkingface.api.importing import import_weights, importer_kinds
from talkingface.api.tracking import TrackedFace, track
from talkingface.api.training import make_weights, pipeline_names, train
from talkingface.api.verbs import animate, fit, load, motion, render

__all__ = [
    "Animation",
    "TrackedFace",
    "animate",
    "evaluate",
    "evaluate_systems",
    "fit",
    "import_weights",
    "importer_kinds",
    "load",
    "make_weights",
    "motion",
    "pipeline_names",
    "render",
    "track",
    "train",
]
