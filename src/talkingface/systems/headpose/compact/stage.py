"""The stage of `fit` that trains the compact renderer, and what an avatar keeps of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from talkingface.core.device import likes_bfloat16
from talkingface.core.system import Weights
from talkingface.core.types import Controls
from talkingface.face.morphable import LinearFaceModel
from talkingface.nn.state import arrays, named, tensors_of
from talkingface.systems.headpose.compact.data import cut_clip, load_clip, save_clip
from talkingface.systems.headpose.compact.networks import CompactRenderer
from talkingface.systems.headpose.compact.recipe import RendererRecipe
from talkingface.systems.headpose.compositing.playback import Clip, ClipDrawer
from talkingface.systems.headpose.config import HeadposeConfig
from talkingface.systems.headpose.fit.preprocess import Material
from talkingface.systems.headpose.fit.stages import PREVIEWS, FitJob, make_trainer, start_of
from talkingface.video.read import read_frames


def fit_compact(
    job: FitJob, material: Material, model: LinearFaceModel, train: np.ndarray, test: np.ndarray
) -> dict[str, np.ndarray]:
    """Pictures cut from the clip and the training on them: what the avatar draws with."""
    fit, renderer = job.config.fit, job.config.renderer
    seen = material.track.confidence > 0
    clips = []
    for name, chosen in (("train", train & seen), ("test", test & seen)):
        file = job.folder / f"{name}.npz"
        if not file.is_file():
            numbers = np.flatnonzero(chosen)
            keep = numbers[np.unique(np.linspace(0, len(numbers) - 1, fit.most_frames).astype(int))]
            pictures = (frame.rgb[: material.size[1], : material.size[0]] for frame in read_frames(material.frames))
            save_clip(file, cut_clip(pictures, material.track.landmarks, material.fit, keep, renderer.view_px))
        clips.append(load_clip(file))
    start = start_of(job, "renderer")
    recipe = RendererRecipe(
        clips[:1],
        model,
        renderer.widths,
        view_px=renderer.view_px,
        batch_size=fit.batch_size,
        start=None if start is None else {"renderer": start},
        held_out=clips[1],
    )
    every = max(1, fit.renderer_steps // PREVIEWS)
    trainer = make_trainer(
        job, recipe, "renderer", fit.renderer_steps, ema_decay=0.998, channels_last=True, preview_every=every,
        evaluate_every=every,
    )  # fmt: skip
    trainer.run()
    return named("renderer", arrays(trainer.averaged()["renderer"]))


def load_compact(
    config: HeadposeConfig,
    tensors: Mapping[str, np.ndarray],
    clip: Clip,
    model: LinearFaceModel,
    device: str,
    weights: Weights | None = None,
) -> Callable[[Controls], ClipDrawer]:
    """What draws with an avatar's tensors. Raises RuntimeError for others."""
    import torch

    network = CompactRenderer(config.renderer.widths)
    network.load_state_dict(tensors_of(tensors, "renderer"))
    precision = torch.bfloat16 if likes_bfloat16(device) else torch.float32
    network = network.eval().to(device, precision, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def drawer(controls: Controls) -> ClipDrawer:
        return ClipDrawer(clip, model, network, config.renderer.view_px, controls, device)

    return drawer
