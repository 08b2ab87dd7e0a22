from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
from av.stream import Disposition

from talkingface.audio.read import read_audio, stream_audio
from talkingface.core.errors import InputError, SpeechError
from talkingface.video.channels import mix
from talkingface.video.sound import Sound


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


def voice_like(seconds: float = 2.0, rate_hz: int = 16000) -> np.ndarray:
    """Noise in syllables."""
    count = int(seconds * rate_hz)
    loudness = 0.3 * np.abs(np.sin(2 * np.pi * 2 * np.arange(count) / rate_hz))
    return (np.random.default_rng(3).uniform(-1, 1, count) * loudness).astype(np.float32)


OTHER = np.random.default_rng(4).uniform(-0.05, 0.05, 32000).astype(np.float32)


@pytest.mark.parametrize(
    ("channels", "turned"),
    [
        ([1, -1], "channel 2 is"),
        ([-0.9, 1], "channel 1 is"),
        ([1, -1, 0], "channel 2 is"),
        ([1, -1, OTHER], "channel 2 is"),
        ([1, 1, -1, -1], "channels 3, 4 are"),
    ],
)
def test_speech_survives_channels_that_cancel_each_other(tmp_path, channels, turned):
    voice, notes = voice_like(), []
    samples = np.stack([voice * gain if np.isscalar(gain) else gain for gain in channels], axis=1)
    path = write_wav(tmp_path / "inverted.wav", samples.astype(np.float32), 16000)
    heard = read_audio(path, notes=notes).samples[0]
    assert abs(np.corrcoef(heard, voice)[0, 1]) > 0.9 and np.std(heard) > 0.4 * np.std(voice)
    assert len(notes) == 1 and turned in notes[0]
    assert np.array_equal(read_audio(path, mono=False).samples, samples.T), "the channels themselves are not touched"
    if samples.shape[1] <= 3:
        assert np.abs(np.corrcoef(mix(samples.T.astype(np.float32)), voice)[0, 1]) > 0.9


@pytest.mark.parametrize("channels", [[1, 1], [1, 0], [1, 0.3], [1, OTHER], [0.2, -OTHER], [1, -0.001]])
def test_other_channels_are_averaged_without_a_word(tmp_path, channels):
    voice, notes = voice_like(), []
    samples = np.stack([voice * gain if np.isscalar(gain) else gain for gain in channels], axis=1).astype(np.float32)
    heard = read_audio(write_wav(tmp_path / "stereo.wav", samples, 16000), notes=notes).samples[0]
    assert np.allclose(heard, samples.mean(axis=1), atol=1e-6) and notes == []
    assert np.array_equal(mix(samples.T), samples.T.mean(0))


def write_tracks(path, levels: list[float], default: int | None = None):
    """A file with a sound track of constant level for each of `levels`."""
    with av.open(str(path), "w") as file:
        streams = [file.add_stream("pcm_s16le", rate=16000, layout="mono") for _ in levels]
        for at, stream in enumerate(streams):
            stream.disposition = Disposition.default if at == default else Disposition(0)
        for level, stream in zip(levels, streams, strict=True):
            samples = np.full((1, 8000), round(level * 32768), np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
            file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    return path


def test_the_default_sound_track_or_the_one_asked_for(tmp_path):
    path = write_tracks(tmp_path / "two.mov", [0.1, 0.2, 0.3], default=1)
    assert read_audio(path).samples[0, 4000] == pytest.approx(0.2, abs=1e-3)
    for number, level in enumerate([0.1, 0.2, 0.3]):
        assert read_audio(path, track=number).samples[0, 4000] == pytest.approx(level, abs=1e-3)
        written = np.concatenate([frame.to_ndarray() for frame in Sound(path, number).until(24000)], axis=1)
        assert written[0, 12000] == pytest.approx(level, abs=1e-3)
    without = write_tracks(tmp_path / "none.mkv", [0.1, 0.2])
    assert read_audio(without).samples[0, 4000] == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize("number", [-1, 2, 99])
def test_a_sound_track_that_is_not_there(tmp_path, number):
    path = write_tracks(tmp_path / "two.mov", [0.1, 0.2])
    with pytest.raises(SpeechError, match=f"2 sound tracks, 0 to 1; there is no sound track {number}"):
        read_audio(path, track=number)
    alone = write_wav(tmp_path / "one.wav", np.zeros(8000, np.float32), 16000)
    with pytest.raises(SpeechError, match="1 sound track, number 0"):
        read_audio(alone, track=1)


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


@pytest.mark.parametrize("channels", [3, 6, 9, 16, 17, 64])
def test_the_mean_of_any_number_of_unnamed_channels(tmp_path, channels):
    samples = np.zeros((16000, channels), np.float32)
    samples[:, min(3, channels - 1)] = voice = np.sin(np.arange(16000) / 9).astype(np.float32)  # "6 channels": the bass
    path = write_wav(tmp_path / "recorder.wav", samples, 16000)
    np.testing.assert_allclose(read_audio(path).samples[0], voice / channels, atol=1e-6)
    np.testing.assert_allclose(read_audio(path, mono=False).samples, samples.T, atol=1e-6)
    written = np.concatenate([frame.to_ndarray() for frame in Sound(path).until(48000)], axis=1)
    assert written.shape == (2, 48000)
    np.testing.assert_allclose(written.std(axis=1), voice.std() / channels, rtol=0.01)


@pytest.mark.parametrize("channels", [2, 9, 24])
def test_unnamed_channels_that_cancel_are_turned_over(tmp_path, channels):
    voice = np.sin(np.arange(16000) / 9).astype(np.float32)
    samples = np.repeat(voice[:, None], channels, 1)
    samples[:, : channels // 2] *= -1
    notes: list[str] = []
    heard = read_audio(write_wav(tmp_path / "turned.wav", samples, 16000), notes=notes).samples[0]
    np.testing.assert_allclose(np.abs(heard), np.abs(voice), atol=1e-5)
    assert "inverted before mixing" in notes[0]


def test_two_unnamed_channels_stay_two_in_the_result(tmp_path):
    samples = np.zeros((48000, 2), np.float32)
    samples[:, 0] = np.sin(np.arange(48000) / 9)
    path = write_wav(tmp_path / "two.wav", samples, 48000)
    written = np.concatenate([frame.to_ndarray() for frame in Sound(path).until(48000)], axis=1)
    np.testing.assert_allclose(written, samples.T, atol=1e-6)
