"""The speech encoder: NumPy equals torch, any split equals any other, how far ahead is heard, eight bits, loading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import talkingface
from talkingface.audio.mel import HOP
from talkingface.audio.read import read_audio
from talkingface.audio.speech_encoder import SpeechEncoder, encoder_columns
from talkingface.core.errors import WeightsError
from talkingface.core.weights import save_weights
from talkingface.nn.quantised import dequantised, quantised
from talkingface.nn.speech_encoder import SpeechEncoder as TorchEncoder
from talkingface.nn.speech_encoder_config import DELAYS, FRAME_SAMPLES, SpeechEncoderConfig, SpeechHeadConfig
from talkingface.nn.speech_head import SpeechHead

CONFIG = SpeechEncoderConfig(width=32, heads=2, past=20)
HEAD = SpeechHeadConfig(width=16, dilations=(1, 2, 4))
OUTPUTS = 5


@pytest.fixture(scope="module")
def trained() -> TorchEncoder:
    torch.manual_seed(0)
    network = TorchEncoder(CONFIG).eval()
    for layer in network.layers:
        layer.bias.data.normal_()
    return network


@pytest.fixture(scope="module")
def encoder(trained: TorchEncoder) -> SpeechEncoder:
    return SpeechEncoder(state(trained), CONFIG)


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    rng = np.random.default_rng(2)
    return (np.repeat(rng.uniform(0, 0.2, 40), 2000) * rng.normal(size=80000)).astype(np.float32)[: 640 * 80 + 123]


def state(network: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


def silent_after(voice: np.ndarray, seconds: float = 2.0) -> np.ndarray:
    return np.concatenate([voice, np.zeros(int(16000 * seconds), np.float32)])


# in hops of a frame matrices are read in eight bits
@pytest.mark.parametrize(("delay", "tolerance"), [("best", 1e-4), ("low", 0.1)])
def test_stream_equals_torch_over_the_whole_voice(
    trained: TorchEncoder, encoder: SpeechEncoder, voice: np.ndarray, delay: str, tolerance: float
) -> None:
    torch.manual_seed(1)
    head = SpeechHead(HEAD, DELAYS[delay], CONFIG.width, OUTPUTS).eval()
    rows = np.concatenate([heard.rows for heard in encoder.frames([voice], state(head), HEAD, delay)])
    columns = encoder_columns(silent_after(voice))
    with torch.no_grad():
        tokens = trained(torch.from_numpy(columns[: len(columns) // 2 * 2])[None], DELAYS[delay].ahead)
        expected = head(tokens)[0].numpy()
    assert rows.shape == (81, OUTPUTS)
    np.testing.assert_allclose(rows, expected[:81], atol=tolerance)
    found = encoder.features(voice, delay)
    assert found.shape == (81, 2, CONFIG.width)
    np.testing.assert_allclose(found.reshape(162, -1), tokens[0, :162].numpy(), atol=3 * tolerance)


@pytest.mark.parametrize("delay", DELAYS)
def test_no_more_is_heard_than_the_delay_says(encoder: SpeechEncoder, voice: np.ndarray, delay: str) -> None:
    head = state(SpeechHead(HEAD, DELAYS[delay], CONFIG.width, OUTPUTS))
    ahead = DELAYS[delay].samples(CONFIG, HEAD)
    changed, frame = voice.copy(), 20
    changed[FRAME_SAMPLES * frame + ahead :] = 0.3
    rows = [np.concatenate([h.rows for h in encoder.frames([v], head, HEAD, delay)]) for v in (voice, changed)]
    assert np.array_equal(rows[0][: frame + 1], rows[1][: frame + 1])
    assert not np.array_equal(rows[0][frame + 1], rows[1][frame + 1])
    assert ahead % HOP == 0


def test_usual_lookaheads_are_a_second_and_an_eighth() -> None:
    seconds = {name: how.samples(SpeechEncoderConfig(), SpeechHeadConfig()) / 16000 for name, how in DELAYS.items()}
    assert seconds["best"] <= 1.0
    assert seconds["low"] <= 0.12


def test_any_split_gives_exactly_the_same(encoder: SpeechEncoder, voice: np.ndarray) -> None:
    for delay, how in DELAYS.items():
        head = state(SpeechHead(HEAD, how, CONFIG.width, OUTPUTS))
        whole = [h.rows for h in encoder.frames([voice], head, HEAD, delay)]
        parts = [h.rows for h in encoder.frames(np.array_split(voice, 301), head, HEAD, delay)]
        assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize("length", [0, 1, 640, 640 * 81])
def test_a_whole_voice_is_read_as_a_stream_is(encoder: SpeechEncoder, voice: np.ndarray, length: int) -> None:
    samples = voice[:length]
    for delay, how in DELAYS.items():
        head = state(SpeechHead(HEAD, how, CONFIG.width, OUTPUTS))
        streamed = [h.rows for h in encoder.frames([samples], head, HEAD, delay)]
        rows = encoder.rows(samples, head, HEAD, delay)
        assert rows.shape == (-(-length // FRAME_SAMPLES), OUTPUTS)
        tolerance = 1e-4 if how.hop > 1 else 0.1  # in hops of a frame matrices are read in eight bits
        np.testing.assert_allclose(rows, np.concatenate([np.zeros((0, OUTPUTS)), *streamed]), atol=tolerance)


def test_a_voice_is_heard_once_for_all_heads(
    trained: TorchEncoder, voice: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, heard = SpeechEncoder(state(trained), CONFIG), []
    real = encoder._features
    monkeypatch.setattr(encoder, "_features", lambda *args: heard.append(args) or real(*args))
    for seed in (0, 1):
        torch.manual_seed(seed)
        encoder.rows(voice, state(SpeechHead(HEAD, DELAYS["best"], CONFIG.width, OUTPUTS)), HEAD)
    encoder.features(voice)
    assert len(heard) == 1


def test_columns_are_heard_as_samples_are(encoder: SpeechEncoder, voice: np.ndarray) -> None:
    samples = voice[: 640 * 60]
    tokens = encoder.column_tokens(encoder_columns(samples))
    heard = encoder.features(samples).reshape(tokens.shape)
    np.testing.assert_allclose(tokens[:90], heard[:90], atol=1e-4)  # the last columns lack what lies beyond the end


def test_a_louder_voice_is_the_same_voice() -> None:
    speech = read_audio(Path(talkingface.__file__).parent / "samples" / "speech.flac", 16000).samples[0][:80000]
    quiet, loud = (SpeechEncoder.load().features(speech * np.float32(gain))[50:] for gain in (1.0, 2.0))
    assert np.abs(quiet - loud).mean() < 0.1 * np.abs(loud - loud.mean(axis=0)).mean()


def test_silence_and_nothing(encoder: SpeechEncoder) -> None:
    assert encoder.features(np.zeros(0, np.float32)).shape == (0, 2, CONFIG.width)
    assert encoder.features(np.zeros(10, np.float32)).shape == (1, 2, CONFIG.width)
    assert np.isfinite(encoder.features(np.zeros(20000, np.float32))).all()


def test_eight_bits_are_off_by_half_a_step(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {"matrix": rng.normal(size=(80, 90)).astype(np.float32), "bias": np.ones(3, np.float32)}
    found = dequantised(quantised(arrays))
    most = np.abs(arrays["matrix"]).max(axis=1, keepdims=True)
    assert (np.abs(found["matrix"] - arrays["matrix"]) <= most / 254 * 1.1).all()
    assert quantised(arrays)["matrix"].dtype == np.int8
    assert found["bias"].tolist() == [1, 1, 1] and set(found) == set(arrays)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / "a.v1", {"x": np.zeros(3, np.float32)}, {"name": "a.v1"})
    with pytest.raises(WeightsError, match="holds no speech encoder"):
        SpeechEncoder.load(tmp_path / "a.v1")
    save_weights(tmp_path / "b.v1", {"x": np.zeros(3, np.float32)}, {"kind": "speech_encoder", "config": {}})
    with pytest.raises(WeightsError, match="missing"):
        SpeechEncoder.load(tmp_path / "b.v1")
