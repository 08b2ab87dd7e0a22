"""The Basel model behind the published generators, with a stand-in for the licensed files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from basel import OFFSET, UNIT, write_basel
from clips import sway, write_face_video
from talkingface import api
from talkingface.core.config import from_dict
from talkingface.core.errors import UsageError, WeightsError
from talkingface.core.motion import concatenate
from talkingface.core.system import Weights
from talkingface.core.types import Avatar, Controls, Track
from talkingface.core.weights import find_weights, load_avatar, load_weights, save_avatar
from talkingface.face.bfm import SOURCES, load_bfm
from talkingface.face.camera import Camera
from talkingface.face.deep3d import CAMERA as CROP_CAMERA
from talkingface.face.deep3d import PARTS, before_camera, placed, shape_of
from talkingface.face.fit3d import VideoFit
from talkingface.face.fit_landmarks import HeadFit
from talkingface.face.morphable import LinearFaceModel, load_mesh478
from talkingface.face.pose import Pose
from talkingface.face.subdivision import plain_surface
from talkingface.nn.reconstruction_net import ReconstructionNet
from talkingface.nn.state import part
from talkingface.systems.headpose.config import HeadposeConfig, preset
from talkingface.systems.headpose.fit.pipeline import fit_avatar
from talkingface.systems.headpose.fit.stages import FitJob
from talkingface.systems.headpose.official.face.crop import fit_crops, five_points
from talkingface.systems.headpose.official.face.reconstruction import learned_fit
from talkingface.systems.headpose.official.face.render import FaceRenderer, View
from talkingface.systems.headpose.official.face.render_model import (
    FaceRenderModel,
    basel_model,
    face_render_model,
    fit_from_tensors,
)
from talkingface.systems.headpose.official.importing import import_headpose
from talkingface.systems.headpose.official.stage import fit_to_tensors
from voices import make_voice

BASEL = replace(preset("tiny_official"), face_model="bfm09")
VIEW = View(x=0.0, y=0.0, scale=1.0, side_px=128)
CAMERA = Camera(300.0, (64.0, 64.0), (128, 128))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_basel(tmp_path_factory.mktemp("basel")).parent


@pytest.fixture
def store(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's store that holds the model, as `weights import headpose` leaves it."""
    monkeypatch.setenv("TALKINGFACE_CACHE", str(tmp_path / "cache"))
    assert api.import_weights("headpose", [files]).name == "headpose.bfm09"
    return tmp_path / "cache"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TALKINGFACE_CACHE", str(tmp_path / "nothing"))
    return tmp_path / "nothing"


def test_what_was_imported_is_the_model_that_was_read(store: Path, files: Path) -> None:
    read, kept = load_bfm(files), basel_model()
    for name in ("mean", "identity", "expression", "texture", "triangles", "landmarks", "tracked", "landmarks68"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(read, name), err_msg=name)
    assert kept.num_mouth == read.num_mouth and kept.noise == pytest.approx(read.noise)


def test_the_weights_at_hand_come_before_the_store(empty: Path, files: Path) -> None:
    found = import_headpose([files])
    assert basel_model(Weights(dict(found.tensors), dict(found.card))).name == "bfm2009"
    config = from_dict(HeadposeConfig, found.card["config"])
    assert config.face_model == "bfm09"  # what such weights were made with


def test_an_expression_moves_the_same_points_as_far(store: Path) -> None:
    own, drawn = load_mesh478(), face_render_model(BASEL)
    expression = np.random.default_rng(2).normal(size=own.expression.shape[-1]).astype(np.float32)
    expression[own.num_mouth :] = 0
    wanted = UNIT * own.displacement(expression)[own.landmarks68]
    moved = drawn.model.displacement(drawn.convert_change(expression))[drawn.model.landmarks68]
    assert np.abs(moved - wanted).max() < 0.05 * np.abs(wanted).max()
    np.testing.assert_allclose(drawn.pivot, OFFSET * (1, -1, -1), atol=1e-3)


def fit_of(model: LinearFaceModel, scale: float, offset: np.ndarray) -> VideoFit:
    """One frame with a grey face of a model that is `scale` times ours, its origin at -`offset`."""
    head = HeadFit(
        camera=CAMERA,
        identity=np.zeros(model.identity.shape[-1], np.float32),
        neutral=model.mean.astype(np.float32),
        expression=np.zeros((1, model.expression.shape[-1]), np.float32),
        rotation=np.eye(3)[None],
        translation=scale * np.array([[0.0, 0.0, 6.0]]) - offset,
    )
    light = np.zeros((1, 3, 9), np.float32)
    light[:, :, 0], light[:, :, 2] = 1, 0.3
    size = len(model.mean)
    return VideoFit(
        model=model.name, head=head, closure=np.zeros(1, np.float32), light=light,
        albedo=np.full((size, 3), 120, np.float32), evidence=np.ones(size, np.float32),
    )  # fmt: skip


def test_motion_moves_either_face_alike(store: Path) -> None:
    """The stand-in has our points: drawn by the Basel way, mouth and head go where they go by ours."""
    drawn, own = face_render_model(BASEL), load_mesh478()
    plain = FaceRenderModel(own, plain_surface(drawn.surface.skin, 478), None, np.zeros(3))
    basel = FaceRenderer(fit_of(drawn.model, UNIT, drawn.pivot), drawn, VIEW)
    ours = FaceRenderer(fit_of(own, 1.0, np.zeros(3)), plain, VIEW)
    background = np.zeros((128, 128, 3), np.uint8)
    change = np.zeros(own.expression.shape[-1], np.float32)
    change[0] = 2.0
    here = Pose(rotation=np.eye(3), scale=50.0, translation=np.array([64.0, 64.0, 0]))
    turn = np.array([[np.cos(0.3), 0, np.sin(0.3)], [0, 1, 0], [-np.sin(0.3), 0, np.cos(0.3)]])
    there = Pose(rotation=turn, scale=55.0, translation=np.array([70.0, 60.0, 0]))
    rest = ours.render_over(background, 0)
    for options in ({}, {"change": change}, {"move": (here, there)}, {"change": change, "move": (here, there)}):
        a, b = basel.render_over(background, 0, **options), ours.render_over(background, 0, **options)
        off = (np.abs(a.astype(int) - b).max(axis=-1) > 24).mean()
        assert off < 0.004, options  # of the view; single pixels at edges
        if options:
            assert (np.abs(rest.astype(int) - b).max(axis=-1) > 24).mean() > 4 * off


def test_a_fit_keeps_nothing_of_the_model(store: Path) -> None:
    model = face_render_model(BASEL).model
    fit = fit_of(model, UNIT, np.zeros(3))
    still, moving = fit_to_tensors(fit, model)
    assert "neutral" not in still
    again = fit_from_tensors(model, still | moving)
    np.testing.assert_array_equal(again.head.neutral, fit.head.neutral)


def test_without_the_files_nothing_is_begun(empty: Path, tmp_path: Path) -> None:
    job = FitJob(path=tmp_path / "me.mp4", folder=tmp_path / "work", config=BASEL, weights=None, device="cpu")
    with pytest.raises(WeightsError) as caught:
        fit_avatar(job)  # the clip is not even looked for
    said = str(caught.value)
    assert not (tmp_path / "work").exists() and "\n" not in said
    assert all(f"{name} from {source}" in said for name, source in SOURCES.items())
    assert "talkingface weights import headpose" in said and "mesh478" in said


def test_face_models_that_do_not_belong_are_refused() -> None:
    with pytest.raises(UsageError, match=r"config\.face_model must be one of 'mesh478', 'bfm09', not 'flame'"):
        from_dict(HeadposeConfig, {"face_model": "flame"})
    with pytest.raises(UsageError, match="needs mesh478"):
        from_dict(HeadposeConfig, {"face_model": "bfm09", "renderer": {"kind": "compact"}})


@pytest.mark.slow
@pytest.mark.parametrize("reconstruction", ["fitted", "learned"])
def test_from_clip_to_pictures(
    store: Path,
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reconstruction: Literal["fitted", "learned"],
) -> None:
    clip = write_face_video(tmp_path / "clip.mp4", sway(60), size=(256, 256))
    if reconstruction == "learned":
        torch.save({"net_recon": ReconstructionNet().state_dict()}, tmp_path / "epoch_20.pth")
        api.import_weights("headpose", [files, tmp_path / "epoch_20.pth"])
    name = "headpose.bfm09" if reconstruction == "fitted" else "headpose.official"
    own, config = load_weights(find_weights(name)), replace(BASEL, reconstruction=reconstruction)
    job = FitJob(path=clip, folder=tmp_path / "work", config=config, weights=own, device="cpu")
    save_avatar(tmp_path / "me", fit_avatar(job))
    avatar = load_avatar(tmp_path / "me")
    assert "Basel Face Model" in avatar.card["needs"]
    assert avatar.card["weights"] == "" and f"begun from {name}" in avatar.card["learned_from"]
    model = basel_model()
    licensed = [array for array in (model.mean, model.identity, model.expression, model.texture) if array is not None]
    for name, value in avatar.tensors.items():
        assert all(value.shape != array.shape or not np.allclose(value, array) for array in licensed), name
    assert not part(avatar.tensors, "bfm") and "solid.neutral" not in avatar.tensors
    pictures = drawn(avatar)
    assert pictures.shape == (33, 192, 192, 3)
    monkeypatch.setenv("TALKINGFACE_CACHE", str(tmp_path / "another machine"))
    with pytest.raises(WeightsError, match=r"01_MorphableModel\.mat from"):
        drawn(avatar)


def drawn(avatar: Avatar) -> np.ndarray:
    system = api.load("headpose", preset="tiny_official", device="cpu")
    controls = Controls(seed=3, size=192)
    motion = concatenate(system.motion_from_audio(avatar, iter([make_voice(1.3)]), controls))
    return np.concatenate([piece.rgb for piece in system.render(avatar, iter([motion]), controls)])


class Seer(torch.nn.Module):
    """Stands for R-Net: says of every crop what it is told to."""

    def __init__(self, rows: np.ndarray) -> None:
        super().__init__()
        self.rows, self.given = torch.nn.Parameter(torch.from_numpy(rows)), 0

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        self.given += len(pictures)
        return self.rows[self.given - len(pictures) : self.given]


def test_what_r_net_sees_is_placed_in_the_frame(store: Path) -> None:
    """The face lies in each crop where the published camera shows it, though one camera sees the whole frame."""
    model, count = face_render_model(BASEL).model, 5
    parts = {name: np.zeros((count, size), np.float32) for name, size in PARTS.items()}
    parts["expression"][:, 0] = parts["texture"][:, 1] = 1
    parts["angles"][:] = (0.1, -0.2, 0.05)
    parts["translation"][:] = (0.05, -0.03, 0.4)
    parts["light"][:, ::9] = 0.3
    corner = np.stack([100 + 30 * np.arange(count), np.full(count, 80), np.zeros(count)], axis=1)
    landmarks = 60 * load_mesh478().mean + [128, 128, 0] + corner[:, None]
    confidence = np.array([1, 1, 0, 1, 1], np.float32)
    track = Track(
        landmarks=landmarks.astype(np.float32), times_s=np.arange(count) / 25, confidence=confidence, size=(640, 480)
    )
    seer = Seer(np.concatenate(list(parts.values()), axis=1)[confidence > 0])
    fit = learned_fit(seer, model, track, [np.zeros((480, 640, 3), np.uint8)] * count)  # type: ignore[arg-type]
    assert seer.given == 4 and len(fit) == count
    np.testing.assert_allclose(fit.albedo, model.albedo(parts["texture"][0]), atol=1e-3)
    shape = shape_of(model, parts["identity"][0], parts["expression"][0])
    seen, _ = CROP_CAMERA.project(before_camera(placed(shape, parts["angles"][0], parts["translation"][0])))
    surface = plain_surface(model.triangles, len(model.mean))
    for number, crop in enumerate(fit_crops(five_points(track.landmarks), track.size)):
        pixels, _ = fit.head.camera.project(fit.points(model, surface, number))
        off = np.linalg.norm((pixels - crop.origin) * crop.scale - seen, axis=1)
        assert off.mean() < 0.6 and off.max() < 2.5, number  # of 224: the middle of the frame is to one side


def test_without_r_net_nothing_is_begun(store: Path, tmp_path: Path) -> None:
    config = replace(BASEL, reconstruction="learned")
    job = FitJob(path=tmp_path / "me.mp4", folder=tmp_path / "work", config=config, weights=None, device="cpu")
    with pytest.raises(WeightsError, match=r"epoch_20\.pth of Deep3DFaceRecon_pytorch.*weights import headpose"):
        fit_avatar(job)
    assert not (tmp_path / "work").exists()
    with pytest.raises(UsageError, match="needs face_model bfm09"):
        from_dict(HeadposeConfig, {"reconstruction": "learned", "renderer": {"kind": "adain"}})
