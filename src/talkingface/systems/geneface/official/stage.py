"""The stages of `fit` for the published renderer: the clip taken apart, the head trained, then the torso."""

from __future__ import annotations

import numpy as np
import torch

from talkingface.core.system import Weights
from talkingface.face.morphable import LinearFaceModel
from talkingface.nn.bisenet import BiSeNet
from talkingface.nn.state import named, tensors_of
from talkingface.person.clip import PersonClip
from talkingface.person.stages import PREVIEWS, run_fit_stage
from talkingface.systems.geneface.fit.stages import FitJob
from talkingface.systems.geneface.official.conditions import landmark_conditions
from talkingface.systems.geneface.official.field_recipe import HeadRecipe, TorsoRecipe, shown_code
from talkingface.systems.geneface.official.material import FieldClip, take_apart
from talkingface.systems.geneface.official.recipes import FIELD, stored_lpips
from talkingface.systems.geneface.official.renderer import UNUSED

EMA = 0.99
WORKERS = 4
_HEAD = 1.15  # of the face's rectangle: the side of the square that shows the head alone
_CODES = ("individual_embeddings", "torso_individual_codes")
_OTHER_CODES = 24
"""Frames of the clip whose individual codes an avatar keeps after the one it shows, to be looked at."""


def fit_official(
    job: FitJob, clip: PersonClip, model: LinearFaceModel, train: np.ndarray, test: np.ndarray
) -> dict[str, np.ndarray]:
    """Every stage, kept in the job's folder: the tensors that `renderer.load_official` draws with.

    `train` and `test` bool [T] are the frames to learn from and those to judge by. Of imported weights a parsing
    network finds the parts of the person.
    """
    config = job.config.official
    material = take_apart(
        clip, job.folder / FIELD, model, config.view_px, train, test, _parser(job.weights, job.device)
    )
    conditions = landmark_conditions(material.landmarks, material.range)
    renderer, training = config.renderer, config.training
    # a GPU takes frames faster than one thread reads them
    options = {"ema_decay": EMA, "clip_grad": None, "workers": 1 if job.device == "cpu" else WORKERS}
    every = max(1, training.head_steps // PREVIEWS)
    lpips = stored_lpips(job.weights)
    trained = run_fit_stage(
        job, HeadRecipe(material, renderer, training, conditions, lpips), "head", training.head_steps,
        preview_every=every, evaluate_every=every, **options,
    )  # fmt: skip
    every = max(1, training.torso_steps // PREVIEWS)
    trained = run_fit_stage(
        job, TorsoRecipe(material, renderer, training, conditions, trained.networks["field"]), "torso",
        training.torso_steps, preview_every=every, evaluate_every=every, **options,
    )  # fmt: skip
    state = {name: value for name, value in trained.networks["field"].items() if name not in UNUSED}
    learned = np.flatnonzero(material.train)
    others = learned[np.linspace(0, len(learned) - 1, _OTHER_CODES).round().astype(int)]
    for name in _CODES:
        state[name] = torch.cat([shown_code(state[name], material.train)[None], state[name][others]])
    tensors = named("field", {name: value.cpu().numpy() for name, value in state.items()})
    points = clip.fit.neutral[model.landmarks68].astype(np.float32)
    return tensors | named("range", material.range.tensors()) | {
        "view": material.view,
        "focal": np.array(float(material.focal)),
        "plate": material.plate,
        "head": head_square(material),
        "points": points,
    }  # fmt: skip


def head_square(material: FieldClip) -> np.ndarray:
    """Corner x, y and side of the square in the view that shows the head, float64 [3]."""
    x, y, width, height = np.median(material.faces[material.train], axis=0)
    side = min(float(material.side_px), round(_HEAD * max(width, height)))
    corner = np.array([x + (width - side) / 2, y + (height - side) / 2])
    return np.array([*np.clip(np.round(corner), 0, material.side_px - side), side])


def _parser(weights: Weights | None, device: str) -> BiSeNet | None:
    state = {} if weights is None else tensors_of(weights.tensors, "parsing")
    if not state:
        return None
    network = BiSeNet()
    network.load_state_dict(state, strict=False)  # counters of batches are not kept
    return network.eval().requires_grad_(False).to(torch.device(device))
