"""Pairs that the sync expert learns from: half a second of speech with the mouth that belongs to it, or with another.

The published program means to take a quarter of the wrong pairs from another speaker, but overwrites them with the
same clip at the other one's place, which may be its padding. Here they come from the other speaker, and nothing comes
from padding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from talkingface.systems.geneface.official.syncnet import AUDIO_ROWS, MOTION_FRAMES, MOUTH

_POSITIVE, _OTHER_SPEAKER, _OTHER_PLACE = 0.5, 0.25, 0.5
_LEAST, _MOST = 2, 5
"""Frames by which shifted pairs are out of sync."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """N pairs: clip and first frame of the mouth, clip and first frame of the speech, all int64 [N], and `labels`
    float32 [N], 1 for those that belong together."""

    clips: np.ndarray
    starts: np.ndarray
    speech_clips: np.ndarray
    speech_starts: np.ndarray
    labels: np.ndarray


def draw_pairs(lengths: np.ndarray, speakers: np.ndarray, count: int, rng: np.random.Generator) -> Pairs:
    """`count` pairs of clips with `lengths` frames [B] of `speakers` [B], the clips in turn; half of them belong.

    Of the others a quarter have the speech of another speaker, and the rest half each that of another place in the clip
    and that of 2 to 5 frames earlier or later. Where a clip is too short for one kind, another is taken. Raises
    ValueError if no clip has five frames.
    """
    last = np.asarray(lengths) - MOTION_FRAMES
    usable = np.flatnonzero(last >= 0)
    if not len(usable):
        raise ValueError(f"no clip has the {MOTION_FRAMES} frames that a pair needs")
    rows = []
    for number in range(count):
        clip = int(usable[number % len(usable)])
        start = int(rng.integers(last[clip] + 1))
        speech = None
        if rng.random() >= _POSITIVE:
            others = usable[np.asarray(speakers)[usable] != speakers[clip]]
            speech = _wrong(clip, start, last, others, rng)
        rows.append((clip, start, *(speech or (clip, start)), speech is None))
    clips, starts, speech_clips, speech_starts, labels = np.array(rows, np.int64).reshape(-1, 5).T
    return Pairs(
        clips=clips,
        starts=starts,
        speech_clips=speech_clips,
        speech_starts=speech_starts,
        labels=labels.astype(np.float32),
    )


def _wrong(
    clip: int, start: int, last: np.ndarray, others: np.ndarray, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Clip and first frame of speech that does not belong to the mouth at `start`; None if there is none."""
    places = np.arange(last[clip] + 1)
    away = np.abs(places - start)
    elsewhere, shifted = places[away >= _LEAST], places[(away >= _LEAST) & (away <= _MOST)]
    kind = "other" if rng.random() < _OTHER_SPEAKER else "place" if rng.random() < _OTHER_PLACE else "shift"
    if len(others) and (kind == "other" or not len(elsewhere)):
        other = int(rng.choice(others))
        return other, int(rng.integers(last[other] + 1))
    chosen = shifted if kind == "shift" and len(shifted) else elsewhere
    return (clip, int(rng.choice(chosen))) if len(chosen) else None


def cut_pairs(motion: Tensor, features: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """Speech [N, 10, C], mouths [N, 5, 60] and labels [N] of motion [B, T, 204] and speech features [B, 2 T, C]."""

    def cut(values: Tensor, clips: np.ndarray, starts: np.ndarray, count: int) -> Tensor:
        first = torch.from_numpy(starts).to(values.device)
        places = first[:, None] + torch.arange(count, device=values.device)
        return values[torch.from_numpy(clips).to(values.device)[:, None], places]

    speech = cut(features, pairs.speech_clips, 2 * pairs.speech_starts, AUDIO_ROWS)
    mouths = cut(motion.unflatten(-1, (68, 3))[:, :, MOUTH].flatten(2), pairs.clips, pairs.starts, MOTION_FRAMES)
    return speech, mouths, torch.from_numpy(pairs.labels).to(motion.device)
