"""The stage of `fit` that trains the compact renderer: heads cropped out of the clip, and training on them."""

from __future__ import annotations

import numpy as np

from talkingface.face.morphable import LinearFaceModel
from talkingface.nn.state import arrays, named
from talkingface.person.clip import PersonClip
from talkingface.person.stages import PREVIEWS, load_record, run_fit_stage, save_record
from talkingface.systems.headpose.compact.data import HeadCrops, crop_heads
from talkingface.systems.headpose.compact.recipe import RendererRecipe
from talkingface.systems.headpose.fit.stages import FitJob, general_state


def fit_compact(
    job: FitJob, clip: PersonClip, model: LinearFaceModel, train: np.ndarray, test: np.ndarray
) -> dict[str, np.ndarray]:
    """Both parts, kept in the job's folder: the tensors that the avatar is drawn with."""
    fit, renderer = job.config.fit, job.config.renderer
    seen = clip.track.confidence > 0
    crops = []
    for name, chosen in (("train", train & seen), ("test", test & seen)):
        file = job.folder / f"{name}.npz"
        if not file.is_file():
            numbers = np.flatnonzero(chosen)
            keep = numbers[np.unique(np.linspace(0, len(numbers) - 1, fit.most_frames).astype(int))]
            save_record(file, crop_heads(clip.pictures(), clip.track.landmarks, clip.fit, keep, renderer.view_px))
        crops.append(load_record(HeadCrops, file))
    start = general_state(job, "renderer")
    recipe = RendererRecipe(
        crops[:1],
        model,
        renderer.widths,
        view_px=renderer.view_px,
        batch_size=fit.batch_size,
        start=None if start is None else {"renderer": start},
        held_out=crops[1],
    )
    every = max(1, fit.renderer_steps // PREVIEWS)
    trained = run_fit_stage(
        job, recipe, "renderer", fit.renderer_steps, ema_decay=0.998, channels_last=True, preview_every=every,
        evaluate_every=every,
    )  # fmt: skip
    return named("renderer", arrays(trained.networks["renderer"]))
