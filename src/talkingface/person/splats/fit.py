"""The stage of a fit that makes a person's splats from their clip."""

from __future__ import annotations

import numpy as np

from talkingface.core.progress import report_progress
from talkingface.face.morphable import LinearFaceModel
from talkingface.nn.state import arrays
from talkingface.person.clip import PersonClip
from talkingface.person.splats.config import SplatConfig
from talkingface.person.splats.material import PackedFrames, choose_canvas, pack_frames, person_motion
from talkingface.person.splats.recipe import SplatRecipe
from talkingface.person.stages import PREVIEWS, ClipJob, run_fit_stage

FRAMES = "splats.rgb"


def splat_recipe(
    job: ClipJob, clip: PersonClip, model: LinearFaceModel, train: np.ndarray, test: np.ndarray, config: SplatConfig
) -> SplatRecipe:
    """The training on the frames `train` bool [T] of a clip, with figures on `test`; frames are kept in the job's
    folder at the size that is learned from."""
    seen = clip.track.confidence > 0
    points = clip.track.landmarks
    face_px = float(np.median(np.ptp(points[seen][..., :2], axis=1).max(1)))
    canvas = choose_canvas(clip.size, face_px, config)
    numbers = np.flatnonzero((train | test) & seen)
    numbers = numbers[np.unique(np.linspace(0, len(numbers) - 1, config.most_frames).astype(int))]
    chosen = np.zeros(len(clip), bool)
    chosen[numbers] = True

    def frames():
        for number, rgb in enumerate(clip.pictures()):
            report_progress("preparing pictures", number, len(clip))
            yield rgb

    file = job.folder / FRAMES
    pack_frames(file, frames(), chosen, canvas)
    motion = person_motion(clip.fit, points, seen & train)
    return SplatRecipe(
        PackedFrames(file, canvas), numbers, train[numbers], motion, points, canvas, model, config, seed=job.seed
    )


def fit_splats(
    job: ClipJob, clip: PersonClip, model: LinearFaceModel, train: np.ndarray, test: np.ndarray, config: SplatConfig
) -> dict[str, np.ndarray]:
    """Train splats, kept and resumed in the job's folder: the arrays that `renderer.load_splats` draws."""
    recipe = splat_recipe(job, clip, model, train, test, config)
    every = max(1, config.steps // PREVIEWS)
    trained = run_fit_stage(
        job, recipe, "splats", config.steps, precision="32", clip_grad=None, ema_decay=config.average,
        preview_every=every, evaluate_every=every,
    )  # fmt: skip
    return recipe.tensors(arrays(trained.networks["splats"]), (clip.track.confidence > 0) & train)
