"""The published generators end to end on `mesh478`, at their smallest: no outside file, no licensed model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from clips import sway, write_face_video
from talkingface import api
from talkingface.clips.source import open_media
from talkingface.core.motion import concatenate
from talkingface.core.types import Avatar, Controls, Motion
from talkingface.core.weights import load_avatar, save_avatar
from talkingface.face.camera import Camera
from talkingface.face.pose import Pose
from talkingface.systems.headpose.config import preset
from talkingface.systems.headpose.official.data import Pairs, choose_runs
from talkingface.systems.headpose.official.face.identity import picture_features, thumb_side
from talkingface.systems.headpose.official.face.render import View, choose_view, move_head
from talkingface.systems.headpose.official.memory import SAME_IDENTITY
from talkingface.systems.headpose.official.networks import UNetAdaIN
from talkingface.systems.headpose.official.recipe import GeneratorRecipe, InitialNetworks, scales_to_one
from talkingface.training.trainer import Trainer
from talkingface.video.stored import StoredFrames
from voices import make_voice

CONTROLS = Controls(seed=3, size=192)
PRESETS = ("tiny_official", "tiny_journal")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_face_video(tmp_path_factory.mktemp("clip") / "clip.mp4", sway(60), size=(256, 256))


@pytest.fixture(scope="module", params=PRESETS)
def fitted(request: pytest.FixtureRequest, clip: Path, tmp_path_factory: pytest.TempPathFactory):
    system = api.load("headpose", preset=request.param, device="cpu")
    folder = tmp_path_factory.mktemp(request.param)
    return system, system.fit(open_media(clip), folder=folder), folder


def motion_of(system, avatar: Avatar) -> Motion:
    return concatenate(system.motion_from_audio(avatar, iter([make_voice(1.3)]), CONTROLS))


def drawn(system, avatar: Avatar, motion: Motion, controls: Controls = CONTROLS, first: int = 0) -> np.ndarray:
    return np.concatenate([piece.rgb for piece in system.render(avatar, iter([motion]), controls, first=first)])


@pytest.mark.slow
def test_from_clip_to_pictures(fitted, tmp_path: Path) -> None:
    system, avatar, _ = fitted
    motion = motion_of(system, avatar)
    whole = drawn(system, avatar, motion)
    assert whole.shape == (33, 192, 192, 3)
    for first in (1, 20, 25, 27):  # inside a batch, and on both sides of a period of features
        np.testing.assert_array_equal(drawn(system, avatar, motion, first=first), whole[first:])
    save_avatar(tmp_path / "me", avatar)
    np.testing.assert_array_equal(drawn(system, load_avatar(tmp_path / "me"), motion), whole)
    still = Controls(seed=3, size=192, expression_scale=0.0)
    quiet = drawn(system, avatar, concatenate(system.motion_from_audio(avatar, iter([make_voice(1.3)]), still)))
    assert np.abs(quiet.astype(int) - whole).max() > 0
    assert avatar.card["held_out"]["frames"] == 12


@pytest.mark.slow
def test_the_frame_stays_as_it_is_outside_the_face(fitted, clip: Path) -> None:
    system, avatar, _folder = fitted
    controls = Controls(seed=3, size="native", pose="source")
    motion = motion_of(system, avatar)
    pictures = drawn(system, avatar, motion, controls)
    real = StoredFrames(avatar.files["clip"], (256, 256))[0]
    assert np.abs(pictures[0][:20].astype(int) - real[:20]).max() <= 2
    assert np.abs(pictures[0][-20:].astype(int) - real[-20:]).max() <= 2


@pytest.mark.slow
def test_the_face_alone_has_the_networks_size(fitted) -> None:
    system, avatar, _ = fitted
    motion = motion_of(system, avatar)
    assert drawn(system, avatar, motion, Controls(seed=3, crop="head")).shape[1:] == (256, 256, 3)
    assert drawn(system, avatar, motion, Controls(seed=3, crop="head", size=100)).shape[1:] == (100, 100, 3)


@pytest.mark.slow
def test_the_head_can_be_asked_elsewhere(fitted) -> None:
    system, avatar, _ = fitted
    motion = motion_of(system, avatar)
    turned = np.zeros_like(motion.pose)
    turned[:, 1] = 0.2
    other = Motion(space=motion.space, expression=motion.expression, pose=turned, blink=None, fps=motion.fps)
    moved = drawn(system, avatar, other)
    assert moved.shape == (33, 192, 192, 3)
    np.testing.assert_array_equal(drawn(system, avatar, other, first=26), moved[26:])


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["renderer", "everything after the composites"])
def test_a_fit_goes_on_to_the_same_weights(fitted, clip: Path, tmp_path: Path, stage: str) -> None:
    system, avatar, folder = fitted
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    shutil.rmtree(again / "renderer")
    if stage != "renderer":
        (again / "held_out.json").unlink()
    else:  # stopped after the first of three steps
        pairs, config = stored_pairs(again / "train-pairs.npz"), system.config
        recipe = recipe_for(config, pairs, stored_pairs(again / "test-pairs.npz"))
        options = {"ema_decay": 0.99, "preview_every": 1, "evaluate_every": 1}
        bf16 = "bf16" if torch.cpu._is_amx_tile_supported() else "32"
        Trainer(recipe, again / "renderer", steps=3, seed=1, device="cpu", precision=bf16, **options).run(until=1)
    other = system.fit(open_media(clip), folder=again)
    for name, value in avatar.tensors.items():
        np.testing.assert_array_equal(other.tensors[name], value, err_msg=name)


def stored_pairs(file: Path) -> Pairs:
    with np.load(file) as found:
        return Pairs(**dict(found))


def recipe_for(config, pairs: Pairs, held_out: Pairs) -> GeneratorRecipe:
    adain = config.renderer.kind == "adain"
    features = picture_features(pairs.thumbs, config.renderer.feature) if adain else None
    return GeneratorRecipe(
        pairs, config.renderer, features=features, held_out=held_out, batch_size=config.fit.batch_size
    )


def api_model():
    from talkingface.face.morphable import load_mesh478

    return load_mesh478()


def make_pairs(count: int = 6, side: int = 256) -> Pairs:
    rng = np.random.default_rng(5)
    pictures = rng.integers(0, 255, (2, count, side, side, 3), dtype=np.uint8)
    return Pairs(
        composites=pictures[0],
        truths=pictures[1],
        numbers=np.array([3, 4, 5, 9, 10, 11][:count]),
        thumbs=rng.integers(0, 255, (count, 3, 3, 3), dtype=np.uint8),
        faces=np.zeros((count, 112, 112, 3), np.uint8),
    )


def test_the_first_frames_of_a_run_repeat_what_is_there() -> None:
    assert make_pairs().history().tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [3, 3, 3], [3, 3, 4], [3, 4, 5]]


def test_long_clips_give_runs() -> None:
    kept = choose_runs(np.ones(1000, bool), 100)
    assert len(kept) == 100 and (np.diff(kept) == 1).sum() == 90 and kept[-1] > 980
    assert choose_runs(np.ones(40, bool), 100).tolist() == list(range(40))


@pytest.mark.parametrize("name", PRESETS)
def test_batches_are_aligned_and_repeat(name: str) -> None:
    config, pairs = preset(name), make_pairs()
    same = Pairs(
        composites=pairs.truths, truths=pairs.truths, numbers=np.arange(6) * 5, thumbs=pairs.thumbs, faces=pairs.faces
    )
    batch = recipe_for(config, same, same).batch(7, 1)
    assert batch["frames"].shape == (2, 9, 256, 256) and batch["frames"].dtype == torch.uint8
    for k in (0, 3, 6):  # the same picture at all three moments and as truth: one cut for all
        assert torch.equal(batch["frames"][:, k : k + 3], batch["truth"])
    again = recipe_for(config, same, same).batch(7, 1)
    assert all(torch.equal(batch[key], again[key]) for key in batch)


@pytest.mark.parametrize("name", PRESETS)
def test_training_resumes_bit_for_bit(name: str, tmp_path: Path) -> None:
    def trainer(folder: str) -> tuple[Trainer, GeneratorRecipe]:
        recipe = recipe_for(preset(name), make_pairs(), make_pairs(3))
        return Trainer(recipe, tmp_path / folder, steps=3, seed=2, device="cpu", evaluate_every=1), recipe

    one, straight = trainer("straight")
    one.run()
    trainer("stopped")[0].run(until=1)
    two, resumed = trainer("stopped")
    two.run()
    for network, state in one.averaged().items():
        for key, value in state.items():
            assert torch.equal(two.averaged()[network][key], value), f"{network}.{key}"
    if name == "tiny_official":
        for key, value in straight.bank.state().items():
            assert torch.equal(resumed.bank.state()[key], value), key
        assert straight.bank.own.any() and set(straight.bank.index[straight.bank.own].tolist()) <= {3, 4, 5, 9, 10, 11}


def test_the_query_learns_only_without_outside_weights() -> None:
    recipe = recipe_for(preset("tiny_official"), make_pairs(), make_pairs())
    recipe.networks()
    assert all(parameter.requires_grad for parameter in recipe.query.parameters())


@pytest.mark.parametrize("name", PRESETS)
def test_a_new_generator_learns_colours_before_it_may_hide_them(name: str) -> None:
    config, pairs = preset(name), make_pairs()
    recipe = recipe_for(config, pairs, pairs)
    networks = recipe.networks()
    batch = recipe.batch(0, 1)
    early = recipe.losses("generator", batch, {"step": 99, "steps": 400})
    assert early["mask"] == 0 and early["mask_smoothness"] == 0
    early["picture"].backward()
    heads = [value for key, value in networks["renderer"].named_parameters() if "attention_reg" in key]
    assert heads and all(value.grad is None or not value.grad.any() for value in heads)
    for step, steps in ((100, 400), (400, 100000), (0, 3)):
        assert recipe.losses("generator", batch, {"step": step, "steps": steps})["mask"] > 0
    state = {key: value.detach() for key, value in networks["renderer"].state_dict().items()}
    adain = config.renderer.kind == "adain"
    features = picture_features(pairs.thumbs, config.renderer.feature) if adain else None
    tuned = GeneratorRecipe(
        pairs, config.renderer, features=features, batch_size=2, initial=InitialNetworks(renderer=state)
    )
    tuned.networks()
    losses = tuned.losses("generator", batch, {"step": 0, "steps": 400})
    assert losses["mask"] > 0  # it has colours already
    assert "colour" in early and set(tuned.loss_weights) == set(recipe.loss_weights) - {"colour"}  # the published ones


def test_new_styles_begin_with_scales_of_one() -> None:
    network = UNetAdaIN(ngf=1, feature=4, style_hidden=2)
    last = network.mlp.model[-1]
    torch.nn.init.zeros_(last.bias)
    scales_to_one(network)
    for bias, scale in network.split_style(last.bias[None]).values():
        assert (scale == 1).all() and not bias.any()


def test_a_frame_is_like_its_neighbour_and_unlike_others() -> None:
    rng = np.random.default_rng(1)
    moods = rng.normal(size=(5, 13 * 13 * 3)) * 20
    thumbs = np.clip(128 + np.repeat(moods, 2, axis=0) + rng.normal(size=(10, 507)) * 4, 0, 255)
    features = picture_features(thumbs.reshape(10, 13, 13, 3).astype(np.uint8), 512)
    assert features.shape == (10, 512) and thumb_side(512) == 13
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    alike = features @ features.T
    assert all(alike[k, k + 1] > SAME_IDENTITY for k in range(0, 10, 2))
    assert all(alike[k, k + 2] < SAME_IDENTITY for k in range(0, 8, 2))


def test_the_view_holds_the_face_in_all_frames(clip: Path) -> None:
    rng = np.random.default_rng(0)
    face = rng.uniform(-60, 60, (478, 3))
    landmarks = face + np.array([200, 150, 0]) + np.linspace(-50, 50, 20)[:, None, None] * np.array([1, 0, 0])
    view = choose_view(landmarks.astype(np.float32), (400, 300), 256)
    seen = landmarks[1:-1, :, :2] @ view.matrix[:, :2].T + view.matrix[:, 2]
    assert seen.min() > 0 and seen.max() < 256
    assert View.from_row(view.row()) == view


def test_the_drawn_head_moves_as_its_pixels_do() -> None:
    camera = Camera(900.0, (320.0, 180.0), (640, 360))
    rotation, translation = np.eye(3), np.array([0.5, -0.3, 9.0])
    own = Pose(rotation=np.eye(3), scale=100.0, translation=np.array([370.0, 150.0, 0]))
    target = Pose(rotation=np.eye(3), scale=110.0, translation=np.array([400.0, 140.0, 0]))
    _, moved = move_head(rotation, translation, camera, own, target)
    before, after = (camera.project(t[None])[0][0] for t in (translation, moved))
    np.testing.assert_allclose(after - before, [30, -10], atol=1e-6)
    assert moved[2] == pytest.approx(9.0 / 1.1)
