"""Sound as the published networks hear it."""

from __future__ import annotations

import numpy as np
import torch

from parity.fixtures import load_fixture, search
from talkingface.systems.geneface.official import hearing
from talkingface.systems.geneface.official.pitch_bins import pitch_bins, pitch_bins_rounded
from talkingface.systems.geneface.official.windows import frame_windows

PITCH_HZ = 0.5


def test_mel_and_pitch():
    fixture = load_fixture("geneface", "audio_mel_f0")
    wave, tolerance = fixture.array("wav"), fixture.facts["tolerance"]
    mel = hearing.speech_mel(wave)
    most, loud = map(float, search(r"([\d.e-]+) where mel > ([-\d.]+)", tolerance["mel"]).groups())
    off = np.abs(mel - fixture.stored("mel"))[fixture.stored("mel") > loud]
    assert off.max() <= most
    fixture.assert_equal("padded_length", np.array([len(hearing.padded_for_pitch(wave))]))
    pitch = hearing.speech_pitch(wave, len(mel))
    recorded = fixture.stored("f0")
    assert pitch.shape == recorded.shape
    np.testing.assert_array_equal(pitch > 0, recorded > 0)
    assert np.abs(pitch - recorded).max() <= PITCH_HZ
    fixture.assert_equal("f0_coarse", pitch_bins_rounded(recorded))
    grid = np.array(fixture.inputs["f0_grid"], np.float32)
    fixture.assert_equal("f0_grid_coarse_numpy", pitch_bins_rounded(grid))
    fixture.assert_equal("f0_grid_coarse_torch", pitch_bins(torch.from_numpy(grid)))


def test_pieces_for_hubert():
    fixture = load_fixture("geneface", "audio_hubert_chunks")
    for name in fixture.outputs:
        kind, _, count = name.partition(".")
        if kind == "segments":
            pieces = hearing.hubert_segments(int(count))
            fixture.assert_equal(name, np.array([(a, b, hearing.network_rows(b - a)) for a, b in pieces]))
        elif kind == "frames":
            made = sum(hearing.network_rows(b - a) for a, b in hearing.hubert_segments(int(count)))
            fixture.assert_equal(name, np.array([made, hearing.hubert_rows(int(count))]))
    fixture.assert_close("normalised_wave", hearing.normalised_wave(fixture.array("wav")), 1e-5)


def test_pieces_for_wav2vec2():
    fixture = load_fixture("geneface", "audio_asr_windows")
    fixture.assert_equal("windows", frame_windows(fixture.array("logits")))
    for name in (name for name in fixture.outputs if name.startswith("chunks.")):
        rows = []
        for chunk in hearing.asr_chunks(int(name.partition(".")[2])):
            read, heard = -(-chunk.end // hearing.HOP) * hearing.HOP, chunk.end - chunk.start
            kept = chunk.last - chunk.first
            rows.append((read, heard, hearing.network_rows(heard), chunk.first, chunk.last, kept))
        fixture.assert_equal(name, np.array(rows))


def test_input_of_deepspeech():
    fixture = load_fixture("geneface", "audio_deepspeech_input")
    wave = fixture.array("wav")
    assert (wave == np.trunc(wave)).all() and np.abs(wave).max() > 1000
    fixture.assert_close("mfcc_every_second", hearing.deepspeech_cepstra(wave), 1e-5)
    fixture.assert_close("input_vector", hearing.deepspeech_vectors(wave), 1e-5)
    logits = fixture.array("logits")
    rows = hearing.resampled_rows(logits[:, 0], len(wave) / hearing.RATE_HZ)
    fixture.assert_close("after_resampling", rows[:, None], 1e-5)
    fixture.assert_close("windows", frame_windows(rows), 1e-5)
