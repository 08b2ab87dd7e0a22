"""The published networks in use: landmarks of speech, frames of landmarks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from talkingface.systems.geneface.config import RadNerfConfig
from talkingface.systems.geneface.official.audio2motion import AudioToMotion
from talkingface.systems.geneface.official.camera import Intrinsics, field_pose
from talkingface.systems.geneface.official.inference import conditions, draw_frames, generate_landmarks
from talkingface.systems.geneface.official.postnet import PostNet
from talkingface.systems.geneface.official.radnerf import HeadField, TorsoField

CONFIG = replace(RadNerfConfig(), codes=2, side=16, log2_rows=8, finest=64)
VIEW = Intrinsics(height=10, width=8, fx=25.0, fy=25.0, cx=4.0, cy=5.0)
BACKGROUND = np.random.default_rng(0).integers(0, 256, (10, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def motion() -> AudioToMotion:
    torch.manual_seed(0)
    return AudioToMotion(8, pitch=True, width=16, encoder_layers=1, decoder_layers=1).eval()


def voice(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((rows, 8)), rng.uniform(80, 200, rows)


@pytest.mark.parametrize("rows", [1, 2, 7, 40, 43])
def test_two_rows_of_speech_are_a_frame(motion, rows):
    made = generate_landmarks(motion, PostNet(pitch=64).eval(), *voice(rows))
    assert made.shape == (rows // 2, 204) and made.dtype == np.float32 and np.isfinite(made).all()


def test_seeds_decide(motion):
    first, again, other = (generate_landmarks(motion, None, *voice(40), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.allclose(first, other)
    middle = generate_landmarks(motion, None, *voice(40), seed=1, temperature=0)
    assert np.array_equal(middle, generate_landmarks(motion, None, *voice(40), seed=2, temperature=0))


def test_no_speech_has_no_landmarks(motion):
    assert generate_landmarks(motion, None, np.zeros((0, 8)), np.zeros(0)).shape == (0, 204)
    with pytest.raises(ValueError, match="needs the pitch"):
        generate_landmarks(motion, None, voice(40)[0])


def test_conditions_are_in_the_persons_deviations():
    rng = np.random.default_rng(2)
    mean, std = rng.standard_normal((1, 68, 3)), rng.uniform(0.5, 1, (1, 68, 3))
    still = np.repeat((mean + std).reshape(1, -1), 6, 0)
    made = conditions(still, mean, std)
    assert made.shape == (6, 5, 1, 204) and np.allclose(made, 1, atol=1e-6)
    assert np.abs(conditions(still + 100, mean, std)).max() <= 2.5


def drawn(field: HeadField, count: int = 3) -> list[np.ndarray]:
    given = np.random.default_rng(3).standard_normal((count, 5, 1, 204)).astype(np.float32)
    camera = np.eye(4)
    camera[2, 3] = 0.85
    return list(draw_frames(field.eval(), given, [field_pose(camera)] * count, VIEW, BACKGROUND))


def test_an_empty_field_shows_the_background():
    frames = drawn(HeadField(CONFIG))
    assert len(frames) == 3 and all(np.abs(frame.astype(int) - BACKGROUND).max() <= 1 for frame in frames)


@pytest.mark.parametrize("aware", [False, True])
def test_a_head_and_a_torso_are_drawn_alike_every_time(aware):
    torch.manual_seed(0)
    field = TorsoField(replace(CONFIG, head_aware=aware))
    field.density_bitfield.fill_(255)
    torch.nn.init.normal_(field.position_embedder.embeddings)
    torch.nn.init.normal_(field.ambient_embedder.embeddings)
    field.density_grid_torso.fill_(1.0)
    with torch.no_grad():  # so that the condition counts, as after training
        field.cond_prenet.encoder_fc1[-1].weight.mul_(100)
        field.sigma_net.net[-1].weight.mul_(10)
        field.color_net.net[0].weight.mul_(10)
    frames = drawn(field)
    assert frames[0].shape == BACKGROUND.shape and frames[0].dtype == np.uint8
    assert all(np.array_equal(one, other) for one, other in zip(frames, drawn(field), strict=True))
    assert np.abs(frames[0].astype(int) - BACKGROUND).mean() > 5
    assert not np.array_equal(frames[0], frames[1])  # driven otherwise
