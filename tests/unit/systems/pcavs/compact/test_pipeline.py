"""The two trainings of `pcavs.compact`, on toy networks and clips."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from crops import draw_face, speaking_head
from talkingface.core.types import Track
from talkingface.face.morphable import load_mesh478
from talkingface.systems.pcavs.compact.mouth_recipe import MouthRecipe, clip_codes
from talkingface.systems.pcavs.compact.mouths import (
    WIDER,
    MouthClip,
    mouth_matrices,
    mouth_picture,
    quiet_frames,
)
from talkingface.systems.pcavs.compact.networks import NUM_MOUTH, MouthNet
from talkingface.systems.pcavs.compact.pipeline import rest_code, train_compact
from talkingface.systems.pcavs.compact.speech_recipe import SEGMENT, SILENT_ROWS, SpeechRecipe, contrast_loss
from talkingface.systems.pcavs.config import preset
from talkingface.training.recipe import Recipe
from talkingface.training.speaking_clips import describe_clip
from talkingface.training.speech_recipe import clip_targets
from talkingface.training.trainer import Trainer
from voices import make_voice

TINY = preset("tiny").compact
COUNT = 60


def mouth_clip(slug: str, seed: int) -> MouthClip:
    """A drawn head that speaks."""
    points, _ = speaking_head(COUNT, seed, turning=0.02)
    seen, side = np.ones(COUNT, bool), round(WIDER * TINY.mouth_px)
    matrices = mouth_matrices(points, seen, side, WIDER)
    track = Track(
        landmarks=points, times_s=np.arange(COUNT) / 25, confidence=np.ones(COUNT, np.float32), size=(256, 256)
    )
    samples = make_voice(COUNT / 25)
    found = describe_clip(slug, slug, track, samples, load_mesh478())
    return MouthClip(
        slug=slug,
        person=slug,
        pictures=np.stack(
            [mouth_picture(draw_face(p, seed), m, side) for p, m in zip(points, matrices, strict=True)]
        ),
        quiet=quiet_frames(points, seen),
        targets=clip_targets(found)[:, :-1],
        weight=np.ones(COUNT, np.float32),
        samples=samples,
    )  # fmt: skip


@pytest.fixture(scope="module")
def clips() -> list[MouthClip]:
    return [mouth_clip("one", 0), mouth_clip("two", 1)]


@pytest.fixture(scope="module")
def mouth() -> MouthNet:
    torch.manual_seed(0)
    return MouthNet(TINY).eval().requires_grad_(False)


def learns(recipe: Recipe, phase: str, folder: Path, steps: int, lr: float) -> dict[str, tuple[float, float]]:
    """Each loss on one batch before and after some steps."""
    recipe.optimizers = {name: type(value)(lr=lr) for name, value in recipe.optimizers.items()}
    trainer = Trainer(recipe, folder, steps=steps, seed=2, device="cpu", ema_decay=None)
    batch = recipe.batch(1000, 0)

    def losses() -> dict[str, float]:
        with torch.no_grad():
            return {n: float(v) for n, v in recipe.losses(phase, batch, {"step": 0, "steps": 1}).items()}

    before = losses()
    trainer.run()
    after = losses()
    assert set(after) == set(recipe.loss_weights)
    return {name: (before[name], after[name]) for name in after}


def test_mouths_of_turned_pictures_look_alike():
    """The square follows the nose and the slope of the eyes, whatever the place and size of the face."""
    points, _ = speaking_head(8, turning=0.0)
    seen = np.ones(8, bool)
    plain = [mouth_picture(draw_face(p), m, 48) for p, m in zip(points, mouth_matrices(points, seen, 48), strict=True)]
    spin = cv2.getRotationMatrix2D((128, 120), 20, 1.5)
    turned = points.copy()
    turned[..., :2] = (points[..., :2] - 0.5) @ spin[:, :2].T + spin[:, 2] + 0.5
    matrices = mouth_matrices(turned, seen, 48)
    for p, q, m, before in zip(points, turned, matrices, plain, strict=True):
        picture = cv2.warpAffine(draw_face(p), spin, (320, 320))
        assert np.abs(mouth_picture(picture, m, 48).astype(int) - before).mean() < 6
        lips = (q[[13, 14], :2] - 0.5) @ m[:, :2].T + m[:, 2]
        assert (lips > 8).all() and (lips < 40).all(), "the lips lie within the square"


def test_quiet_frames_are_those_with_the_least_open_mouth():
    points, _ = speaking_head(COUNT)
    seen = np.ones(COUNT, bool)
    seen[:10] = False
    quiet = quiet_frames(points, seen)
    gaps = np.linalg.norm(points[:, 13] - points[:, 14], axis=1)
    assert len(quiet) == 8 and quiet.min() >= 10
    assert gaps[quiet].max() < np.median(gaps[10:])


def test_mouths_are_learned_from_their_pictures(clips, tmp_path):
    recipe = MouthRecipe(clips, TINY, held_out=[mouth_clip("three", 2)], batch_size=16)
    changes = learns(recipe, "look", tmp_path, 80, 5e-3)
    for name in ("shape", "measures"):
        assert changes[name][1] < 0.6 * changes[name][0], name
    with torch.no_grad():
        assert recipe.evaluate()["gap"] > 0.8


def test_codes_are_about_the_mouth_at_rest(clips, mouth):
    codes = clip_codes(clips[0], mouth, TINY)
    assert codes.shape == (COUNT, TINY.code)
    assert codes[clips[0].quiet].mean(axis=0) == pytest.approx(0, abs=1e-5)
    whole = clip_codes(clips[0], mouth, TINY, about_rest=False)
    assert whole - whole[clips[0].quiet].mean(axis=0) == pytest.approx(codes, abs=1e-5)
    assert rest_code(clips, mouth, TINY).shape == (TINY.code,)


def test_speech_is_learned_towards_the_codes_of_pictures(clips, mouth, tmp_path):
    recipe = SpeechRecipe(clips, TINY, mouth, held_out=clips[:1], batch_size=3, copies=1)
    changes = learns(recipe, "speak", tmp_path, 30, 1e-2)
    for name in ("codes", "contrast", "correlation"):
        assert changes[name][1] < changes[name][0], name
    with torch.no_grad():
        assert set(recipe.evaluate()) >= {"gap", "jaw", "gap_ratio"}


def test_speech_batches_are_pure_and_whole(clips, mouth):
    recipe = SpeechRecipe(clips, TINY, mouth, batch_size=3, copies=1)
    batch = recipe.batch(5, 1)
    recipe.batch(6, 1)
    again = recipe.batch(5, 1)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert not torch.equal(batch["tokens"], recipe.batch(6, 1)["tokens"])
    rows = 3 + SILENT_ROWS
    assert batch["tokens"].shape == (rows, 2 * SEGMENT, 384)
    assert batch["targets"].shape == (rows, SEGMENT, TINY.code + NUM_MOUTH + 3)
    assert not batch["targets"].flatten(0, 1)[batch["clip"] < 0].any(), "without speech the mouth rests"


def test_near_frames_of_one_clip_are_no_negatives():
    """Neighbours sound alike: however close their codes are, they cost nothing; a far frame that is as close does."""
    codes = torch.eye(4)
    alike = codes.clone()
    alike[1] = codes[0]
    own = torch.eye(4, dtype=torch.bool)
    near = own.clone()
    near[0, 1] = near[1, 0] = True
    assert float(contrast_loss(alike, alike, near)) < 0.01
    assert float(contrast_loss(alike, alike, own)) > 0.3


def test_two_trainings_follow_each_other_and_finished_ones_are_kept(clips, tmp_path):
    steps = {"mouth": 2, "speech": 2}
    done = train_compact(clips, clips[:1], tmp_path, TINY, steps)
    assert {"gap", "jaw"} <= set(done["mouth"].metrics) and "gap" in done["speech"].metrics
    again = train_compact([], [], tmp_path, TINY, steps)  # no clip is needed any more
    for stage, trained in done.items():
        for name, value in trained.networks[stage].items():
            assert torch.equal(value, again[stage].networks[stage][name]), (stage, name)
