from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from talkingface.audio.read import read_audio, stream_audio
from talkingface.core.errors import InputError, SpeechError


def write_wav(path, samples: np.ndarray, rate_hz: int, subtype: str = "FLOAT"):
    soundfile.write(path, samples, rate_hz, subtype=subtype)
    return path


@pytest.mark.parametrize("from_hz", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("to_hz", [16000, 48000])
def test_clicks_stay_where_they_are(tmp_path, from_hz, to_hz):
    samples = np.zeros((20 * from_hz, 2), np.float32)
    clicks_s = (0.5, 19.5)
    for click_s in clicks_s:
        samples[int(click_s * from_hz)] = 0.9
    audio = read_audio(write_wav(tmp_path / "clicks.wav", samples, from_hz), to_hz)
    assert audio.samples.dtype == np.float32 and audio.samples.shape == (1, 20 * to_hz)
    for click_s in clicks_s:
        begin = int((click_s - 0.4) * to_hz)
        heard = begin + np.abs(audio.samples[0, begin : begin + int(0.8 * to_hz)]).argmax()
        assert abs(heard / to_hz - click_s) <= 0.001


def test_same_samples_for_any_block(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 30_011).astype(np.float32)
    path = write_wav(tmp_path / "noise.wav", noise, 44100)
    whole = read_audio(path).samples[0]
    assert len(whole) == pytest.approx(30_011 * 16000 / 44100, abs=1)
    for block in (1, 777, 16000, 10**6):
        pieces = list(stream_audio(path, block=block))
        assert all(len(piece) == block for piece in pieces[:-1])
        assert np.array_equal(np.concatenate(pieces), whole)


def test_same_rate_is_exact_and_channels_are_kept_or_averaged(tmp_path):
    stereo = np.random.default_rng(1).uniform(-1, 1, (8000, 2)).astype(np.float32)
    path = write_wav(tmp_path / "stereo.wav", stereo, 16000)
    assert np.array_equal(read_audio(path, mono=False).samples, stereo.T)
    assert np.allclose(read_audio(path).samples[0], stereo.mean(axis=1), atol=1e-6)
    assert next(stream_audio(path, mono=False, block=100)).shape == (2, 100)


def test_loud_floats_are_clipped(tmp_path):
    path = write_wav(tmp_path / "loud.wav", np.full(8000, 3.0, np.float32), 16000)
    assert read_audio(path).samples.max() == 1.0


def test_gap_of_lost_packets_is_silence(tmp_path):
    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=16000, layout="mono")
        for start in (*range(0, 16000, 1600), *range(24000, 32000, 1600)):
            frame = av.AudioFrame.from_ndarray(np.full((1, 1600), 9000, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 16000, Fraction(1, 16000), start
            file.mux(stream.encode(frame))
    samples = read_audio(path).samples[0]
    assert len(samples) == 32000
    assert np.abs(samples[16100:23900]).max() == 0 and np.abs(samples[24100:]).min() > 0.2


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(0, np.float32), "at least 0.1 s"),
        (np.zeros(1500, np.float32), "at least 0.1 s"),
        (np.full(8000, np.nan, np.float32), "not numbers"),
        (np.full(8000, np.inf, np.float32), "not numbers"),
    ],
)
def test_unusable_sound(tmp_path, samples, reason):
    path = write_wav(tmp_path / "bad voice.wav", samples, 16000)
    with pytest.raises(SpeechError, match=reason) as caught:
        read_audio(path)
    assert "\n" not in str(caught.value) and "bad voice.wav" in str(caught.value)


def test_video_without_sound(tmp_path):
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        file.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        file.mux(stream.encode(None))
    with pytest.raises(SpeechError, match="no sound track"):
        read_audio(path)


def test_unreadable_files(tmp_path):
    empty, text = tmp_path / "empty.wav", tmp_path / "Straße 声.wav"
    empty.touch()
    text.write_text("words, not sound " * 100)
    for path, reason in [
        (empty, "is empty"),
        (text, "cannot be read"),
        (tmp_path, "folder"),
        (tmp_path / "x", "no file"),
    ]:
        with pytest.raises(InputError, match=reason):
            read_audio(path)


def test_non_ascii_and_spaced_names(tmp_path):
    path = write_wav(tmp_path / "voix d'été 声: 1%.wav", np.zeros(8000, np.float32), 16000)
    assert read_audio(path).samples.shape == (1, 8000)
