"""The stage of `fit` that trains a published generator: the person in three dimensions, composites, training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from talkingface.core.arrays import save_arrays
from talkingface.core.progress import report_progress
from talkingface.face.deep3d import CAMERA
from talkingface.face.fit3d import VideoFit, fit_video
from talkingface.face.morphable import LinearFaceModel
from talkingface.nn.reconstruction_net import ReconstructionNet
from talkingface.nn.state import arrays, named, part, tensors_of
from talkingface.person.clip import PersonClip
from talkingface.person.stages import PREVIEWS, run_fit_stage
from talkingface.systems.headpose.fit.stages import FitJob, weights_config
from talkingface.systems.headpose.motion.head_motion_generator import encode_behaviour
from talkingface.systems.headpose.official.convert import load_into
from talkingface.systems.headpose.official.data import Pairs, make_pairs
from talkingface.systems.headpose.official.face.convention import pose_of
from talkingface.systems.headpose.official.face.identity import identity_features, picture_features, thumb_side
from talkingface.systems.headpose.official.face.reconstruction import learned_fit, stored_net
from talkingface.systems.headpose.official.face.render import FaceRenderer, View, choose_view
from talkingface.systems.headpose.official.face.render_model import (
    FaceRenderModel,
    face_render_model,
    fit_from_tensors,
    fit_to_tensors,
)
from talkingface.systems.headpose.official.memory import MemoryBank
from talkingface.systems.headpose.official.recipe import GeneratorRecipe, InitialNetworks

EMA = 0.99
FREE = ("loss_weights", "mirror", "memory_slots")  # settings of a renderer that its weights do not depend on


def fit_official(
    job: FitJob, clip: PersonClip, _model: LinearFaceModel, train: np.ndarray, test: np.ndarray
) -> dict[str, np.ndarray]:
    """Every part of the stage, kept in the job's folder: the tensors that the avatar is drawn with.

    The face that is rendered is the config's (`face.render_model`), not the model that the clip was tracked with.
    """
    fit, config = job.config.fit, job.config.renderer
    face = face_render_model(job.config, job.weights)
    seen = clip.track.confidence > 0
    net = stored_net(job.weights, job.device) if job.config.reconstruction == "learned" else None
    fit3d = fit_person(job.folder / "solid.npz", clip, face, job.device, net)
    view = choose_view(clip.track.landmarks[train & seen], clip.size, config.view_px)
    renderer = FaceRenderer(fit3d, face, view)
    pairs = [
        make_pairs(
            job.folder / f"{name}-pairs.npz", clip, renderer, view, chosen & seen, fit.most_frames,
            thumb_side(config.feature),
        )
        for name, chosen in (("train", train), ("test", test))
    ]  # fmt: skip
    recipe = GeneratorRecipe(
        pairs[0],
        config,
        features=_features(job, pairs[0]) if config.kind == "adain" else None,
        held_out=pairs[1],
        batch_size=fit.batch_size,
        initial=initial_networks(job),
    )
    every = max(1, fit.renderer_steps // PREVIEWS)
    trained = run_fit_stage(
        job, recipe, "renderer", fit.renderer_steps, ema_decay=EMA, preview_every=every, evaluate_every=every
    )
    tensors = named("renderer", arrays(trained.networks["renderer"]))
    if config.kind == "adain":  # the last query network, not its average: it wrote the bank's keys
        tensors |= named("query", arrays(trained.last["query"]))
        tensors |= named("bank", arrays(recipe.bank.to("cpu").compact().state()))
    tensors |= _head_motion(job, official_poses(fit3d, face.model, view))
    still, moving = fit_to_tensors(fit3d, face.model)
    return tensors | named("solid", still) | named("clip.solid", moving) | {"view": view.row()}


def _head_motion(job: FitJob, poses: np.ndarray) -> dict[str, np.ndarray]:
    """The journal version's imported motion network and this person's behaviour; nothing without such weights."""
    found = {} if job.weights is None else job.weights.tensors
    encoder, decoder = (tensors_of(found, name) for name in ("behaviour", "motion"))
    if not job.config.relative_matching or not encoder or not decoder:
        return {}
    seen_angles = {"clip.angles": poses[:, :3], "person.behaviour": encode_behaviour(encoder, poses)}
    return named("motion", part(found, "motion")) | seen_angles


def initial_networks(job: FitJob) -> InitialNetworks:
    """The networks to go on from, of general or imported weights made for the same renderer; the rest begins anew."""
    theirs, own = weights_config(job), job.config.renderer
    if job.weights is None or theirs is None:
        return InitialNetworks()
    if replace(theirs.renderer, **{name: getattr(own, name) for name in FREE}) != own:
        return InitialNetworks()
    tensors = job.weights.tensors
    # earlier weights call the discriminator "judge"
    discriminator = tensors_of(tensors, "discriminator") or tensors_of(tensors, "judge")
    bank = tensors_of(tensors, "bank")
    if not part(tensors, "arcface"):
        bank = {}  # its values are ArcFace's features, which mean nothing beside others
    return InitialNetworks(
        renderer=tensors_of(tensors, "renderer") or None,
        discriminator=discriminator or None,
        query=tensors_of(tensors, "query") or None,
        bank=MemoryBank.from_tensors(bank) if bank else None,
    )


def _features(job: FitJob, pairs: Pairs) -> np.ndarray:
    """Identity features of the true faces: by imported ArcFace, or of small pictures (`face.identity`)."""
    state = {} if job.weights is None else tensors_of(job.weights.tensors, "arcface")
    if not state:
        return picture_features(pairs.thumbs, job.config.renderer.feature)
    from talkingface.nn.iresnet import MXNET_EPS, IResNet

    network = IResNet(eps=MXNET_EPS)
    load_into(network, state, "the imported ArcFace")
    return np.stack(list(identity_features(network.eval().to(job.device), pairs.faces)))


def official_poses(fit: VideoFit, model: LinearFaceModel, view: View) -> np.ndarray:
    """Angles and translation of every frame, float32 [T, 6], in the published convention: seen by its camera in the
    view."""
    scale = view.scale * CAMERA.size[0] / view.side_px
    crop = View(x=view.x, y=view.y, scale=scale, side_px=CAMERA.size[0])
    angles, translation = pose_of(model, fit.head.rotation, fit.head.translation, crop.camera(fit.head.camera))
    return np.concatenate([angles, translation], axis=1).astype(np.float32)


def fit_person(
    file: Path, clip: PersonClip, face: FaceRenderModel, device: str, net: ReconstructionNet | None = None
) -> VideoFit:
    """The clip's person in three dimensions, reconstructed by `net` or fitted; kept in `file`."""
    if not file.is_file():
        report_progress("fitting the face in three dimensions", 0, 1)
        if net is None:
            fit = fit_video(face.model, face.surface, clip.track, clip.pictures, device=device)
        else:
            fit = learned_fit(net, face.model, clip.track, clip.pictures())
        still, moving = fit_to_tensors(fit, face.model)
        save_arrays(file, **still, **moving)
    with file.open("rb") as stored, np.load(stored, allow_pickle=False) as found:
        return fit_from_tensors(face.model, dict(found))
