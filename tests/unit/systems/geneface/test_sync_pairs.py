"""Pairs of mouth and speech: what belongs together does, what does not comes from where it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from talkingface.systems.geneface.official.sync_pairs import Pairs, cut_pairs, draw_pairs
from talkingface.systems.geneface.official.syncnet import LandmarkSyncNet

LENGTHS, SPEAKERS = np.array([40, 25, 60, 30]), np.array([0, 0, 1, 2])


def drawn(count: int = 4000, lengths: np.ndarray = LENGTHS, speakers: np.ndarray = SPEAKERS) -> Pairs:
    return draw_pairs(lengths, speakers, count, np.random.default_rng(0))


def test_half_belong_and_the_others_are_wrong_in_three_ways():
    pairs = drawn()
    wrong = pairs.labels == 0
    assert wrong.mean() == pytest.approx(0.5, abs=0.03)
    assert np.array_equal(pairs.clips[~wrong], pairs.speech_clips[~wrong])
    assert np.array_equal(pairs.starts[~wrong], pairs.speech_starts[~wrong])
    foreign = wrong & (pairs.clips != pairs.speech_clips)
    assert foreign.sum() / wrong.sum() == pytest.approx(0.25, abs=0.04)
    assert (SPEAKERS[pairs.clips[foreign]] != SPEAKERS[pairs.speech_clips[foreign]]).all()
    away = np.abs(pairs.starts - pairs.speech_starts)[wrong & ~foreign]
    assert away.min() == 2 and (away <= 5).mean() > 0.5 and away.max() > 20


def test_nothing_comes_from_padding_and_clips_take_turns():
    pairs = drawn()
    assert (pairs.starts + 5 <= LENGTHS[pairs.clips]).all() and (pairs.starts >= 0).all()
    assert (pairs.speech_starts + 5 <= LENGTHS[pairs.speech_clips]).all()
    assert np.array_equal(np.bincount(pairs.clips), [1000] * 4)


def test_one_speaker_and_short_clips():
    alone = drawn(speakers=np.zeros(4, int))
    assert (alone.clips == alone.speech_clips).all() and (alone.labels == 0).any()
    short = drawn(lengths=np.array([5, 4, 6]), speakers=np.zeros(3, int))
    assert (short.labels == 1).all() and set(short.clips) == {0, 2}
    with pytest.raises(ValueError, match="no clip has the 5 frames"):
        drawn(lengths=np.array([4, 0]), speakers=np.zeros(2, int))


def test_pairs_are_cut_where_they_say():
    pairs = drawn(8)
    frames = torch.arange(60.0).expand(4, -1) + 1000 * torch.arange(4.0)[:, None]
    motion = frames[..., None].expand(-1, -1, 204)
    features = frames.repeat_interleave(2, 1)[..., None].expand(-1, -1, 7)
    speech, mouths, labels = cut_pairs(motion, features, pairs)
    assert speech.shape == (8, 10, 7) and mouths.shape == (8, 5, 60) and labels.shape == (8,)
    assert mouths[:, 0, 0].tolist() == (pairs.starts + 1000 * pairs.clips).tolist()
    assert speech[:, -1, 0].tolist() == (pairs.speech_starts + 4 + 1000 * pairs.speech_clips).tolist()
    audio, mouth = LandmarkSyncNet(audio=7).eval()(speech, mouths)
    assert audio.shape == mouth.shape == (8, 512)
