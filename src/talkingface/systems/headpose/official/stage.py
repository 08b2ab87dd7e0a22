"""The stage of `fit` that trains a published generator, and what an avatar keeps of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from talkingface.core.config import to_dict
from talkingface.core.system import Weights
from talkingface.core.types import Controls
from talkingface.face.morphable import LinearFaceModel
from talkingface.nn.state import arrays, named, part, tensors_of
from talkingface.systems.headpose.compositing.playback import Clip
from talkingface.systems.headpose.config import HeadposeConfig, RendererConfig
from talkingface.systems.headpose.fit.preprocess import Material
from talkingface.systems.headpose.fit.stages import PREVIEWS, FitJob, make_trainer, stored_config
from talkingface.systems.headpose.motion.head_motion_generator import Mover, behaviour_of, published_poses
from talkingface.systems.headpose.official.convert import load_into
from talkingface.systems.headpose.official.data import (
    FaceDrawer,
    Pairs,
    View,
    choose_view,
    fit_solid,
    make_pairs,
    solid_from_tensors,
    solid_tensors,
)
from talkingface.systems.headpose.official.face.arcface import identity_features
from talkingface.systems.headpose.official.face.identity import picture_features, thumb_side
from talkingface.systems.headpose.official.face.reconstruction import stored_net
from talkingface.systems.headpose.official.face.render_model import drawn_face
from talkingface.systems.headpose.official.fast import PainterNets
from talkingface.systems.headpose.official.memory import MemoryBank
from talkingface.systems.headpose.official.networks import UNetAdaIN
from talkingface.systems.headpose.official.recipe import Begin, ClassicRecipe, make_generator, make_query
from talkingface.systems.headpose.official.renderer import ClassicDrawer, Paint, memory_paint, plain_paint

EMA = 0.99


def fit_classic(
    job: FitJob, material: Material, model: LinearFaceModel, train: np.ndarray, test: np.ndarray
) -> dict[str, np.ndarray]:
    """Three-dimensional fit, composites, training: what the avatar draws with. Every part is kept in the folder.

    `model` is that of the material; the one drawn is the config's (`drawn_face.py`).
    """
    fit, config = job.config.fit, job.config.renderer
    face = drawn_face(job.config, job.weights)
    seen = material.track.confidence > 0
    net = stored_net(job.weights, job.device) if job.config.reconstruction == "learned" else None
    solid = fit_solid(job.folder / "solid.npz", material, face, job.device, net)
    view = choose_view(material.track.landmarks[train & seen], material.size, config.view_px)
    drawer = FaceDrawer(solid, face, view)
    pairs = [
        make_pairs(
            job.folder / f"{name}-pairs.npz", material, drawer, view, chosen & seen, fit.most_frames,
            thumb_side(config.feature),
        )
        for name, chosen in (("train", train), ("test", test))
    ]  # fmt: skip
    recipe = ClassicRecipe(
        pairs[0],
        config,
        features=_features(job, pairs[0]) if config.kind == "adain" else None,
        held_out=pairs[1],
        batch_size=fit.batch_size,
        begin=begin_from(job),
    )
    every = max(1, fit.renderer_steps // PREVIEWS)
    trainer = make_trainer(
        job, recipe, "renderer", fit.renderer_steps, ema_decay=EMA, preview_every=every, evaluate_every=every
    )
    trainer.run()
    tensors = named("renderer", arrays(trainer.averaged()["renderer"]))
    if config.kind == "adain":  # the bank's keys are the last query network's, not its average's
        tensors |= named("query", arrays(recipe.query.state_dict()))
        tensors |= named("bank", arrays(recipe.bank.to("cpu").compact().state()))
    tensors |= _own_motion(job, published_poses(solid, face.model, view))
    still, moving = solid_tensors(solid, face.model)
    return tensors | named("solid", still) | named("clip.solid", moving) | {"view": view.row()}


def _own_motion(job: FitJob, poses: np.ndarray) -> dict[str, np.ndarray]:
    """What the journal version's imported networks need to move as this person does; nothing without them."""
    found = {} if job.weights is None else job.weights.tensors
    encoder, decoder = (tensors_of(found, name) for name in ("behaviour", "motion"))
    if not job.config.relative_matching or not encoder or not decoder:
        return {}
    seen_angles = {"clip.angles": poses[:, :3], "person.behaviour": behaviour_of(encoder, poses)}
    return named("motion", part(found, "motion")) | seen_angles


def load_mover(tensors: Mapping[str, np.ndarray], clip: Clip, device: str) -> Mover | None:
    """What predicts the head in an avatar fitted with the journal version's networks."""
    decoder = tensors_of(tensors, "motion")
    if not decoder:
        return None
    return Mover(decoder, tensors["person.behaviour"], tensors["clip.angles"], clip.head.seen, device)


def begin_from(job: FitJob) -> Begin:
    """The networks to go on from, of general or imported weights made for the same renderer; the rest is made anew."""
    if job.weights is None or not _same_renderer(job.weights.card.get("config", {}).get("renderer"), job.config):
        return Begin()
    found = {name: tensors_of(job.weights.tensors, name) or None for name in ("renderer", "judge", "query", "bank")}
    bank = found.pop("bank")
    if not part(job.weights.tensors, "arcface"):
        bank = None  # its values are ArcFace's, which other features cannot be held against
    return Begin(**found, bank=None if bank is None else MemoryBank(**_typed(bank)))


def _same_renderer(other: object, config: HeadposeConfig) -> bool:
    """Whether weights of that renderer config fit; how it is trained makes no difference."""
    own, found = to_dict(config.renderer), stored_config(RendererConfig, other)
    free = ("loss_weights", "mirror", "memory_slots")
    return isinstance(found, dict) and all(found.get(name) == value for name, value in own.items() if name not in free)


def _features(job: FitJob, pairs: Pairs) -> np.ndarray:
    """Identity features of the true faces: imported ArcFace, or the small pictures of `identity`."""
    state = {} if job.weights is None else tensors_of(job.weights.tensors, "arcface")
    if not state:
        return picture_features(pairs.thumbs, job.config.renderer.feature)
    from talkingface.nn.iresnet import MXNET_EPS, IResNet

    network = IResNet(eps=MXNET_EPS)
    load_into(network, state, "the imported ArcFace")
    return np.stack(list(identity_features(network.eval().to(job.device), pairs.faces)))


def _typed(bank: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**bank, "index": bank["index"].long(), "own": bank["own"].bool()}


def load_classic(
    config: HeadposeConfig,
    tensors: Mapping[str, np.ndarray],
    clip: Clip,
    model: LinearFaceModel,
    device: str,
    weights: Weights | None = None,
) -> Callable[[Controls], ClassicDrawer]:
    """What draws with an avatar's tensors. Raises KeyError, ValueError, RuntimeError or WeightsError for others, and
    WeightsError if its face model is not there."""
    face = drawn_face(config, weights)
    solid = solid_from_tensors(face.model, part(tensors, "solid") | part(tensors, "clip.solid"))
    if solid.albedo.shape != (face.surface.num_vertices, 3) or len(solid) != len(clip.head):
        raise ValueError("the face's colours or frames do not belong to this clip")
    view, paint = View.from_row(tensors["view"]), _load_paint(config.renderer, tensors, device)

    def drawer(controls: Controls) -> ClassicDrawer:
        return ClassicDrawer(clip, solid, face, view, paint, model, controls, device)

    return drawer


def _load_paint(config: RendererConfig, tensors: Mapping[str, np.ndarray], device: str) -> Paint:
    generator: Any = make_generator(config)
    load_into(generator, tensors_of(tensors, "renderer"), "the avatar's generator")
    generator.eval().requires_grad_(False).to(device)
    if not isinstance(generator, UNetAdaIN):
        return plain_paint(generator)
    query = make_query(config)
    load_into(query, tensors_of(tensors, "query"), "the avatar's query network")
    bank = MemoryBank(**_typed(tensors_of(tensors, "bank"))).to(device)
    return memory_paint(PainterNets(generator=generator, query=query.eval().to(device), bank=bank))
