"""The general stages of the published networks, at their smallest, on clips of synthetic people."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from clips import sway, write_face_video
from talkingface import api
from talkingface.core.config import from_dict
from talkingface.core.errors import InputError, UsageError
from talkingface.core.weights import find_weights, load_weights
from talkingface.face.morphable import load_mesh478
from talkingface.face.track import track_frames
from talkingface.person.stages import load_record, save_record
from talkingface.systems.headpose.config import HeadposeConfig, preset
from talkingface.systems.headpose.fit.stages import FitJob, general_audio
from talkingface.systems.headpose.official import pipeline
from talkingface.systems.headpose.official.atc_recipe import ATC_WEIGHTS, FRAMES, AtcRecipe
from talkingface.systems.headpose.official.data import Pairs, join_pairs
from talkingface.systems.headpose.official.recipe import GeneratorRecipe
from talkingface.systems.headpose.official.stage import initial_networks
from talkingface.training.checkpoint import load_networks
from talkingface.training.optim import lr_at
from talkingface.training.speaking_clips import SpeakingClip
from talkingface.video.read import read_frames
from voices import make_voice

PRESETS = ("tiny_official", "tiny_journal")
CONFIG = preset("tiny_official")


@pytest.fixture(autouse=True)
def no_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its import takes seconds."""
    monkeypatch.setattr("talkingface.training.logging.importlib.util.find_spec", lambda name: None)


def write_clip(folder: Path, slug: str, landmarks: np.ndarray, confidence: np.ndarray, size: tuple[int, int]) -> None:
    samples = np.round(32767 * make_voice(len(landmarks) / 25)).astype(np.int16)
    np.savez(
        folder / f"{slug}.npz", landmarks=landmarks, times_s=np.arange(len(landmarks)) / 25, confidence=confidence,
        size=np.array(size), samples=samples,
    )  # fmt: skip


def write_index(folder: Path, splits: dict[str, str], clip: Path) -> None:
    rows = [
        {"slug": slug, "split": split, "identity": slug, "licence_class": "cc-by", "path": str(clip)}
        for slug, split in splits.items()
    ]
    (folder / "index.json").write_text(json.dumps(rows))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared clips whose faces are drawn already: two people to learn from, one to look at."""
    folder, rng = tmp_path_factory.mktemp("prepared"), np.random.default_rng(3)
    drawn = folder / "pairs-mesh478-256"
    drawn.mkdir()
    points = load_mesh478().mean * 60 + 128 + rng.normal(size=(24, 1, 3))
    for slug, count in (("one", 6), ("two", 4), ("other", 4)):
        write_clip(folder, slug, points.astype(np.float32), np.ones(24, np.float32), (256, 256))
        smooth = np.repeat(np.repeat(rng.integers(0, 255, (2, count, 16, 16, 3), dtype=np.uint8), 16, 2), 16, 3)
        thumbs = rng.integers(0, 255, (count, 3, 3, 3), dtype=np.uint8)
        pairs = Pairs(
            composites=smooth[0], truths=smooth[1], numbers=np.arange(count), thumbs=thumbs,
            faces=np.zeros((count, 112, 112, 3), np.uint8),
        )  # fmt: skip
        save_record(drawn / f"{slug}-3.npz", pairs)
    write_index(folder, {"one": "train", "two": "train", "other": "val"}, folder / "none.mp4")
    return folder


@pytest.mark.slow
def test_a_clip_gives_a_stretch_that_shows_the_face(tmp_path: Path) -> None:
    clip = write_face_video(tmp_path / "clip.mp4", sway(24), size=(288, 288))
    track = track_frames((frame.rgb, frame.time_s) for frame in read_frames(clip))
    unseen = np.where(np.arange(24) < 10, 0, track.confidence).astype(np.float32)
    for slug, confidence in (("one", track.confidence), ("two", unseen), ("small", track.confidence)):
        landmarks = track.landmarks * (0.3 if slug == "small" else 1)
        write_clip(tmp_path, slug, landmarks, confidence, track.size)
    write_index(tmp_path, dict.fromkeys(("one", "two", "small"), "train"), clip)
    recipe = pipeline.gan_recipe(CONFIG, tmp_path)
    one, two = (load_record(Pairs, tmp_path / "pairs-mesh478-256" / f"{slug}-3.npz") for slug in ("one", "two"))
    assert len(one) == 24 and len(two) == 14 and len(recipe._pairs) == 38
    assert one.composites.shape[1:] == (256, 256, 3)
    face = one.composites[:, 96:160, 96:160].astype(int)
    assert np.abs(face - one.truths[:, 96:160, 96:160]).mean() < 12  # the drawn face lies where the true one is


def test_no_clip_goes_on_in_the_next(prepared: Path) -> None:
    folder = prepared / "pairs-mesh478-256"
    joined = join_pairs([load_record(Pairs, folder / f"{slug}-3.npz") for slug in ("one", "two")])
    assert joined.history()[4:8].tolist() == [[2, 3, 4], [3, 4, 5], [6, 6, 6], [6, 6, 7]]
    assert len(set(joined.numbers.tolist())) == 10


def test_stretches_are_the_middle_of_the_longest_run() -> None:
    free = np.zeros(120, bool)
    assert pipeline._stretch(free) == (0, 0)
    free[5:20] = free[40:101] = True
    assert pipeline._stretch(free) == (56, 85)
    free[40:101] = False
    assert pipeline._stretch(free) == (5, 20)


@pytest.mark.parametrize(
    ("recipe", "name"),
    [("headpose.atcnet", "tiny_official"), ("headpose.gan", "tiny_official"), ("headpose.gan", "tiny_journal")],
)
def test_a_stage_goes_on_where_it_stopped(prepared: Path, tmp_path: Path, recipe: str, name: str) -> None:
    options = {"steps": 3, "config": name, "device": "cpu", "seed": 4}
    api.train(recipe, prepared, tmp_path / "whole", **options)
    assert api.train(recipe, prepared, tmp_path / "cut", time_limit_s=0.0, **options).step == 1
    assert api.train(recipe, prepared, tmp_path / "cut", **options).finished
    whole, cut = (load_networks(tmp_path / folder) for folder in ("whole", "cut"))
    for network, state in whole.items():
        assert all(torch.equal(cut[network][key], value) for key, value in state.items()), network
    assert len(whole) == {"headpose.atcnet": 1, "headpose.gan": 3 if name == "tiny_official" else 2}[recipe]


def test_general_training_has_the_published_weights_and_rates(prepared: Path) -> None:
    recipe = pipeline.gan_recipe(CONFIG, prepared)
    one = preset("tiny_official").renderer.loss_weights
    assert recipe.loss_weights["mask"] == 0.1 and one["mask"] == 2.0  # of a person's own stage
    assert recipe.loss_weights["picture"] == one["picture"] and recipe.loss_weights["adversarial"] == one["adversarial"]
    rates = [lr_at(recipe.optimizers["renderer"], step, 100) for step in (0, 50, 100)]
    assert rates == pytest.approx([2e-4, 2e-4, 0.0])
    audio = pipeline.atc_recipe(CONFIG, prepared)
    assert dict(audio.loss_weights) == ATC_WEIGHTS and lr_at(audio.optimizers["audio"], 99, 100) == 2e-4


def test_features_say_how_a_moment_differs_within_its_own_clip(prepared: Path) -> None:
    recipe = pipeline.gan_recipe(CONFIG, prepared)
    assert isinstance(recipe, GeneratorRecipe) and recipe._features is not None
    for rows in (slice(0, 6), slice(6, 10)):
        within = recipe._features[rows]
        assert within.shape[1] == 32
        assert np.abs((within / within[:, -1:])[:, :-1].mean(axis=0)).max() < 1e-5  # their clip's mean face is zero


def test_cuts_are_of_seen_frames_and_belong_to_their_sound() -> None:
    model, count = load_mesh478(), 60
    rows = np.arange(count, dtype=np.float32)[:, None]
    weight = np.ones(count, np.float32)
    weight[20] = 0
    clip = SpeakingClip(
        slug="a", person="a", samples=make_voice(count / 25), expression=np.repeat(rows, 20, axis=1),
        neutral_measures=np.zeros(3, np.float32), measures=np.zeros((count, 3), np.float32),
        pose=np.zeros((count, 6), np.float32), blink=np.zeros((count, 1), np.float32),
        gaze=np.zeros((count, 2), np.float32), weight=weight,
    )  # fmt: skip
    recipe = AtcRecipe([clip], model, CONFIG.audio)
    heard = recipe._inputs[0].astype(np.float32)
    firsts = set()
    for step in range(6):
        batch = recipe.batch(step, seed=1)
        assert batch["targets"].shape == (16, FRAMES, CONFIG.audio.expression + 6)
        for inputs, targets in zip(batch["inputs"].numpy(), batch["targets"].numpy(), strict=True):
            first = int(targets[0, 0])
            firsts.add(first)
            np.testing.assert_array_equal(targets[:, 0], np.arange(first, first + FRAMES))
            np.testing.assert_array_equal(inputs, heard[4 * first : 4 * first + len(inputs)])
    assert firsts <= {*range(5), *range(21, 45)} and len(firsts) > 15
    with pytest.raises(InputError, match="16 frames in a row"):
        AtcRecipe([], model, CONFIG.audio)


def test_the_compact_renderer_has_another_recipe(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--config official"):
        pipeline.gan_recipe(preset("tiny"), tmp_path)


@pytest.mark.parametrize("name", PRESETS)
def test_a_fit_begins_with_the_general_weights(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(pipeline, "prepare_data", lambda data, folder: folder / "prepared")
    shutil.copytree(prepared, tmp_path / "runs" / "prepared")
    folder = pipeline.make_official(name, tmp_path, tmp_path / "runs", config=preset(name), steps=(2, 2))
    weights = load_weights(find_weights(folder))
    assert weights.card["name"] == f"headpose.{name}-general" and weights.card["steps"] == {"atcnet": 2, "gan": 2}
    config = from_dict(HeadposeConfig, {**weights.card["config"]})
    job = FitJob(path=tmp_path / "me.mp4", folder=tmp_path, config=preset(name), weights=weights, device="cpu")
    assert config.renderer == job.config.renderer and config.audio == job.config.audio
    initial, audio = initial_networks(job), general_audio(job)
    assert (
        initial.renderer is not None
        and initial.discriminator is not None
        and audio is not None
        and initial.bank is None
    )
    assert (initial.query is not None) == (name == "tiny_official")
    trained = load_networks(tmp_path / "runs" / name / "gan")["renderer"]
    for key, value in trained.items():
        assert torch.allclose(initial.renderer[key].float(), value.float(), atol=1e-3), key
