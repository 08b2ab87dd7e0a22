"""Material and losses of speech to motion: clocks, offsets, phones, batches, and that a tiny network learns."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from talkingface.systems.portrait.motion.augment import augment_columns, played, to_input
from talkingface.systems.portrait.motion.config import LIP_CLOSURES, PHONES, MouthConfig
from talkingface.systems.portrait.motion.synthetic_speech import (
    SpokenText,
    make_sentence,
    phone_rows,
    read_voices,
)

from talkingface.audio.mel import speech_columns
from talkingface.core.arrays import save_arrays
from talkingface.core.errors import InputError
from talkingface.face.head_motion import HeadMotion
from talkingface.face.morphable import load_mesh478
from talkingface.metrics.mouth import mouth_measures
from talkingface.systems.portrait.motion.recipes import (
    MouthRecipe,
    clip_targets,
    lip_offsets,
)
from talkingface.training.head_motion_fit import blink_profile, learn_head_motion
from talkingface.training.mouth_targets import MEASURE_SCALE, correlation_loss, measure_matrix, retime
from talkingface.training.speaking_clips import SpeakingClip, on_clock
from talkingface.training.trainer import Trainer

TINY = MouthConfig(width=16, front=12, dilations=(1, 2))
MODEL = load_mesh478()
MATRIX = measure_matrix(MODEL)


def make_clip(seed: int, frames: int = 60, late: int = 0) -> SpeakingClip:
    """A buzz whose loudness opens the mouth, `late` frames later."""
    rng = np.random.default_rng(seed)
    opening = np.convolve(rng.uniform(0, 1, frames + 20), np.ones(4) / 4, "same")[10 : frames + 10]
    loudness = np.interp(np.arange(frames * 640) / 640, np.arange(frames), opening)
    samples = (0.2 * loudness**2 * rng.normal(size=frames * 640)).astype(np.float32)
    expression = np.zeros((frames, 20), np.float32)
    towards = MATRIX[0] / (MATRIX[0] @ MATRIX[0])
    expression[:, :16] = 0.1 * np.roll(opening, late)[:, None] * towards
    sway = np.cumsum(rng.normal(0, 0.003, (frames, 6)), axis=0)
    return SpeakingClip(
        slug=f"clip{seed}",
        person=f"p{seed}",
        samples=samples,
        expression=expression + 0.01 * rng.normal(size=(frames, 20)).astype(np.float32),
        neutral_measures=np.zeros(3, np.float32),
        measures=(expression[:, :16] @ MATRIX.T).astype(np.float32),
        pose=sway.astype(np.float32),
        blink=np.zeros((frames, 1), np.float32),
        weight=np.ones(frames, np.float32),
    )


def test_rows_move_to_the_clock() -> None:
    times = np.arange(60) / 29.97 + 0.01
    rows = np.stack([times, 2 * times], axis=1)
    clocked = on_clock(rows, times)
    np.testing.assert_allclose(clocked[1:, 0], np.arange(1, len(clocked)) / 25, atol=1e-6)
    assert on_clock(rows[:1], times[:1]).shape == (1, 2)


def test_measure_matrix_is_the_models_own_motion() -> None:
    expression = np.zeros(20, np.float32)
    expression[0] = -1.5  # the jaw opens
    change = mouth_measures(MODEL.mean + MODEL.displacement(expression)) - mouth_measures(MODEL.mean)
    np.testing.assert_allclose(MATRIX @ expression[:16], change, atol=0.03)
    assert change[0] > 0.05


def test_retimed_rows_undo_a_late_mouth() -> None:
    rows = np.arange(50, dtype=np.float32)[:, None]
    moved, known = retime(rows, 1.0, 0.08)
    assert moved[10, 0] == pytest.approx(12) and known.tolist() == [1.0] * 48 + [0.0] * 2
    faster, _ = retime(rows, 1.25, 0.0)
    assert faster[8, 0] == pytest.approx(10) and len(faster) == 40


def test_phone_rows_share_the_frame() -> None:
    rows = phone_rows((("pau", 0.1), ("b", 0.2), ("aa", 0.4)), 12, 25.0)
    np.testing.assert_allclose(rows[1:9].sum(axis=1), 1, atol=1e-5)
    assert rows[4, PHONES.index("b")] == pytest.approx(1)
    assert rows[5, LIP_CLOSURES[1]] == pytest.approx(0.5)
    assert not rows[11:].any()
    assert make_sentence(random.Random(3)) == make_sentence(random.Random(3))


def test_voices_of_a_folder_are_read(tmp_path: Path) -> None:
    samples = np.array([0, 16384, -32768], np.int16)
    (tmp_path / "more").mkdir()
    save_arrays(tmp_path / "more" / "0001.npz", samples=samples, phones=["pau", "m"], ends=[0.1, 0.25])
    (tmp_path / ".unfinished.npz").write_bytes(b"PK")
    (text,) = read_voices(tmp_path)
    assert text.samples.dtype == np.float32 and text.samples.tolist() == [0, 0.5, -1]
    assert text.phones == (("pau", 0.1), ("m", 0.25))
    assert not list(read_voices(tmp_path / "none"))


@pytest.mark.parametrize("wrong", [{"phones": ["ɲ", "m"]}, {"ends": [0.1]}, {"samples": np.zeros(3)}])
def test_other_files_among_voices_are_named(tmp_path: Path, wrong: dict[str, object]) -> None:
    arrays = {"samples": np.zeros(3, np.int16), "phones": ["pau", "m"], "ends": [0.1, 0.25]} | wrong
    save_arrays(tmp_path / "odd.npz", **arrays)
    with pytest.raises(InputError, match=r"odd\.npz holds no speech"):
        list(read_voices(tmp_path))


def test_augmented_columns_stay_in_range() -> None:
    columns = speech_columns(played(make_clip(0).samples, 1.12))
    assert abs(len(columns) - 240 / 1.12) < 4
    values = to_input(augment_columns(columns, np.random.default_rng(0)))
    assert values.shape == columns.shape and values.min() >= -3 and values.max() <= 1.5


def test_correlation_loss_ignores_size() -> None:
    true = torch.randn(2, 50, 3)
    weight = torch.ones(2, 50, 1)
    assert correlation_loss(4 * true + 1, true, weight) < 0.01
    assert correlation_loss(-true, true, weight) > 1.9


def test_a_tiny_network_learns_to_open_the_mouth(tmp_path) -> None:
    torch.set_num_threads(1)
    spoken = [[SpokenText(samples=make_clip(50).samples, phones=(("aa", 1.0), ("pau", 2.4)))]]
    clips = [make_clip(k) for k in range(12)] + [make_clip(k, 40) for k in range(20, 24)]
    recipe = MouthRecipe(clips, spoken, MODEL, TINY, late_s={}, validation=[make_clip(99)], copies=1)
    first, again = recipe.batch(2, 0), recipe.batch(2, 0)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert "spoken_values" in first and "spoken_values" not in recipe.batch(1, 0)
    trainer = Trainer(recipe, tmp_path, steps=30, device="cpu", ema_decay=None, evaluate_every=30)
    assert trainer.run().metrics["gap"] > 0.5
    offsets = lip_offsets(recipe.mouth, MODEL, [make_clip(97), make_clip(98, late=2)], {"clip98": 0.06})
    assert offsets["clip97"] == pytest.approx(0.0, abs=0.03)
    assert offsets["clip98"] == pytest.approx(0.08, abs=0.04)


def test_targets_are_coefficients_and_measures_in_their_unit() -> None:
    clip = make_clip(1)
    targets = clip_targets(clip, 16)
    np.testing.assert_allclose(targets[:, 16:19] * MEASURE_SCALE, clip.measures, rtol=1e-5)
    shut = replace(clip, measures=np.where(np.arange(60)[:, None] < 9, 0.01, clip.measures))
    assert np.flatnonzero(clip_targets(shut, 16)[:, 19]).tolist() == list(range(9))


def test_head_motion_learns_and_moves() -> None:
    clips = [make_clip(k, 150) for k in range(3)]
    head = HeadMotion(learn_head_motion(clips, 16), 0)
    rows = head.push(np.ones(200, np.float32), np.full(200, -20, np.float32))
    degrees = np.degrees(rows.pose[:, :3])
    assert (degrees.std(axis=0) > 0.2).all() and (np.abs(degrees) < 5).all()
    assert rows.brow.shape == (200, 4)


def test_blink_profile_is_the_mean_of_clear_blinks() -> None:
    closure = np.zeros(200)
    for start in (30, 90, 150):
        closure[start : start + 6] = [0.4, 1.0, 0.9, 0.5, 0.2, 0.05]
    profile = blink_profile([closure])
    assert profile.max() == 1 and profile[0] == 0 and profile[-1] == 0
    assert blink_profile([np.zeros(50)]).max() == 1  # nothing seen: a usual blink
