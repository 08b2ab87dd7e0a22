"""Material and losses of speech to motion: clocks, offsets, phones, batches, and that a tiny network learns."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from talkingface.audio.mel import LevelTracker, normalise, speech_columns
from talkingface.audio.speech_encoder import SpeechEncoder as Ear
from talkingface.clips.manifest import write_index
from talkingface.core.arrays import save_arrays
from talkingface.core.errors import InputError
from talkingface.face.head_motion import HeadMotion
from talkingface.face.morphable import load_mesh478
from talkingface.metrics.mouth import mouth_measures
from talkingface.nn.phones import LIP_CLOSURES, PHONES
from talkingface.nn.speech_encoder import SpeechEncoder
from talkingface.nn.speech_encoder_config import DELAYS, SpeechEncoderConfig, SpeechHeadConfig
from talkingface.training.augment_speech import augment_columns, played
from talkingface.training.head_motion_fit import blink_profile, learn_head_motion
from talkingface.training.hear_differently import Surroundings, breathing, by_telephone, heard_differently, music
from talkingface.training.mouth_targets import MEASURE_SCALE, correlation_loss, measure_matrix, retime
from talkingface.training.sampling import person_shares
from talkingface.training.speaking_clips import SpeakingClip, on_clock
from talkingface.training.speech_material import SpeechMaterial, lip_offsets
from talkingface.training.speech_recipe import (
    TOKEN_FRAMES,
    Row,
    SpeechRecipe,
    clip_targets,
    fitted,
    heard_row,
    spread_loss,
)
from talkingface.training.synthetic_speech import SpokenText, make_sentence, phone_rows, read_voices
from talkingface.training.trainer import Trainer

ENCODER = SpeechEncoderConfig(width=32, heads=2, past=20)
HEAD = SpeechHeadConfig(width=16, dilations=(1, 2))
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
        gaze=np.zeros((frames, 2), np.float32),
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
    columns = augment_columns(columns, np.random.default_rng(0))
    values = normalise(columns, LevelTracker().push(columns))
    assert values.shape == columns.shape and values.min() >= -3 and values.max() <= 1.5


def test_what_is_heard_beside_speech_keeps_its_length_and_time() -> None:
    rng = np.random.default_rng(0)
    voice = np.zeros(16000, np.float32)
    voice[8000] = 0.5
    around = Surroundings([make_clip(1).samples], [music(16000, rng)])
    for seed in range(20):
        heard = heard_differently(voice, around, np.random.default_rng(seed))
        assert heard.shape == voice.shape and heard.dtype == np.float32 and np.isfinite(heard).all()
    heard = by_telephone(voice, rng)
    assert abs(int(np.abs(heard).argmax()) - 8000) < 40
    assert np.abs(breathing(16000, rng)).max() > 0


def test_correlation_loss_ignores_size() -> None:
    true = torch.randn(2, 50, 3)
    weight = torch.ones(2, 50, 1)
    assert correlation_loss(4 * true + 1, true, weight) < 0.01
    assert correlation_loss(-true, true, weight) > 1.9


def test_spread_loss_is_of_movement_alone() -> None:
    true, weight = torch.randn(2, 50, 3), torch.ones(2, 50, 1)
    assert spread_loss(true + 5, true, weight) < 1e-3
    assert spread_loss(0.5 * true, true, weight) > 0.3


def make_recipe(clips: list[SpeakingClip], **options: object) -> SpeechRecipe:
    torch.manual_seed(0)
    start = SpeechEncoder(ENCODER).state_dict()
    spoken = [[SpokenText(samples=make_clip(50).samples, phones=(("aa", 1.0), ("pau", 2.4)))]] if clips else []
    return SpeechRecipe(
        clips, spoken, MODEL, ENCODER, HEAD, start=start, late_s={}, copies=1, **options  # type: ignore[arg-type]
    )  # fmt: skip


def test_batches_repeat_and_an_encoder_can_stay_as_it_is(tmp_path: Path) -> None:
    recipe = make_recipe([make_clip(k) for k in range(3)], train_encoder=False)
    first, again = recipe.batch(2, 0), recipe.batch(2, 0)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert {"values", "targets", "weight", "spoken_values"} <= set(first)
    trainer = Trainer(recipe, tmp_path, steps=2, device="cpu", ema_decay=None)
    before = {name: value.clone() for name, value in recipe.encoder.state_dict().items()}
    trainer.run()
    assert all(torch.equal(value, before[name]) for name, value in recipe.encoder.state_dict().items())


def test_rows_of_a_finished_encoder_hold_its_tokens() -> None:
    recipe = make_recipe([])
    recipe.networks()
    ear = Ear({name: value.numpy() for name, value in recipe.encoder.state_dict().items()}, ENCODER)
    columns = np.random.default_rng(1).normal(size=(40, 80)).astype(np.float16)
    row = Row(values=columns, targets=np.ones((10, 2), np.float32), weight=np.ones(10, np.float32))
    for delay in ("best", "low"):
        heard = heard_row(ear, row, delay)
        with torch.no_grad():
            values = torch.from_numpy(fitted(columns, TOKEN_FRAMES).astype(np.float32))[None]
            tokens = recipe.encoder(values, DELAYS[delay].ahead)[0, : 2 * TOKEN_FRAMES - 40].numpy()
        np.testing.assert_allclose(heard.values[: len(tokens)], tokens, atol=0.01)
        assert len(heard.values) == 2 * TOKEN_FRAMES and len(heard.targets) == TOKEN_FRAMES
        assert heard.weight.sum() == 10


def test_a_person_of_many_clips_is_not_drawn_that_much_more() -> None:
    found = person_shares(["a", "a", "a", "a", "b"], [100, 100, 100, 100, 100], power=0.75)
    assert np.ptp(found[:4]) < 1e-9 and found[:4].sum() / found[4] == pytest.approx(4**0.75)
    capped = person_shares(["a", "b"], [900, 100], most=400)
    assert capped[0] / capped[1] == pytest.approx(2)


def test_material_is_read_once(tmp_path: Path) -> None:
    write_index(tmp_path, [])
    material = SpeechMaterial(tmp_path, tmp_path, MODEL, False, 1)
    assert material.clips == [] and material.clips is material.clips
    assert material.validation == []


@pytest.mark.slow
def test_a_tiny_network_learns_to_open_the_mouth(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    clips = [make_clip(k, 90) for k in range(16)]
    recipe = make_recipe(clips, validation=[make_clip(99, 90)])
    trainer = Trainer(recipe, tmp_path, steps=60, device="cpu", ema_decay=None, evaluate_every=60)
    figures = trainer.run().metrics
    assert figures["best.gap"] > 0.5 and figures["low.gap"] > 0.5
    recipe.encoder.eval(), recipe.heads.eval()
    offsets = lip_offsets(recipe, [make_clip(97, 90), make_clip(98, 90, late=2)], {"clip98": 0.06})
    assert offsets["clip97"] == pytest.approx(0.0, abs=0.03)
    assert offsets["clip98"] == pytest.approx(0.08, abs=0.04)


def test_targets_are_coefficients_and_measures_in_their_unit() -> None:
    clip = make_clip(1)
    targets = clip_targets(clip)
    np.testing.assert_allclose(targets[:, 16:19] * MEASURE_SCALE, clip.measures, rtol=1e-5)
    shut = replace(clip, measures=np.where(np.arange(60)[:, None] < 9, 0.01, clip.measures))
    assert np.flatnonzero(clip_targets(shut)[:, 19]).tolist() == list(range(9))


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
