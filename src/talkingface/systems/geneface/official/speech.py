"""Features of speech by HuBERT and letters by wav2vec 2.0, from networks whose files the user brings."""

from __future__ import annotations

import numpy as np
import torch

from talkingface.nn.wav2vec2 import Wav2Vec2
from talkingface.systems.geneface.official.hearing import asr_chunks, hubert_rows, hubert_segments, normalised_wave
from talkingface.systems.geneface.official.windows import frame_windows


@torch.no_grad()
def hubert_features(network: Wav2Vec2, samples: np.ndarray) -> np.ndarray:
    """Rows float32 [(N - 80) // 320, width] of a voice [N] at 16 kHz, heard in pieces of 20 s.

    As published the recording is normalised as a whole, and missing rows at its end are zeros.
    """
    wave = torch.from_numpy(normalised_wave(samples)) if len(samples) else torch.zeros(0)
    made = [network(wave[None, start:end])[0].numpy() for start, end in hubert_segments(len(wave))]
    rows, count = np.concatenate([np.zeros((0, network.config.width), np.float32), *made]), hubert_rows(len(wave))
    return np.pad(rows[:count], ((0, max(0, count - len(rows))), (0, 0)))


@torch.no_grad()
def letter_windows(network: Wav2Vec2, samples: np.ndarray) -> np.ndarray:
    """Windows [N // 2 + 1, 16, letters] of the logits of a voice [N] at 16 kHz: the condition of plain RAD-NeRF.

    Each piece of a second is normalised by itself, as published.
    """
    samples = np.asarray(samples, np.float32)
    made = [np.zeros((0, network.config.letters), np.float32)]
    for chunk in asr_chunks(len(samples)):
        heard = np.concatenate([np.zeros(max(0, -chunk.start), np.float32), samples[max(0, chunk.start) : chunk.end]])
        if chunk.last > chunk.first:
            logits = network.letters(torch.from_numpy(normalised_wave(heard))[None])[0].numpy()
            made.append(logits[chunk.first : chunk.last])
    return frame_windows(np.concatenate(made))
