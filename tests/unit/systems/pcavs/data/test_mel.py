from __future__ import annotations

import numpy as np
import pytest

from talkingface.systems.pcavs.data import mel, timing


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal(20_000)).astype(np.float32)


def test_pieces_give_the_columns_of_the_whole(voice):
    gain = mel.speech_gain(voice)
    whole = mel.speech_mel(voice)
    tail, columns = np.zeros(mel.PAST, np.float32), []
    for piece in np.split(voice * np.float32(gain), range(1600, len(voice), 1600)):
        tail = np.concatenate([tail, piece])
        columns.append(mel.mel_columns(tail))
        tail = tail[len(columns[-1]) * mel.HOP :]
    streamed = np.concatenate(columns)
    np.testing.assert_allclose(streamed, whole[: len(streamed)], atol=1e-6)
    assert len(streamed) == len(voice) // mel.HOP


def test_long_voices_are_cut_into_equal_blocks(voice, monkeypatch):
    whole = mel.speech_mel(voice)
    monkeypatch.setattr(mel, "_BLOCK", 7)
    np.testing.assert_allclose(mel.speech_mel(voice), whole, atol=1e-6)
    assert len(whole) == timing.mel_length(len(voice))


def test_silence_and_nothing():
    assert (mel.speech_mel(np.zeros(5000, np.float32)) == 0).all()
    assert mel.mel_windows(mel.speech_mel(np.zeros(0, np.float32)), 2).shape == (2, 1, 80, 20)
    assert mel.mel_windows(np.zeros((0, 80), np.float32), 3).shape == (3, 1, 80, 20)


def test_every_frame_has_a_window(voice):
    columns = mel.speech_mel(voice)
    count = timing.audible_frames(len(voice))
    windows = mel.mel_windows(columns, count)
    assert count == 32 and windows.shape == (32, 1, 80, 20)
    assert (windows[0, 0, :, :8] == 0).all()
    inside = timing.frame_range(len(columns))
    np.testing.assert_array_equal(windows[inside.start : inside.stop], mel.mel_windows(columns, inside))
    np.testing.assert_array_equal(windows[5, 0].T, columns[12:32])


def test_late_windows_hear_later_sound(voice):
    columns = mel.speech_mel(voice)
    np.testing.assert_array_equal(mel.mel_windows(columns, [6], 4), mel.mel_windows(columns, [7]))


def test_faint_noise_is_not_blown_up():
    assert mel.speech_gain(np.full(100, 1e-9, np.float32)) == pytest.approx(1000)
