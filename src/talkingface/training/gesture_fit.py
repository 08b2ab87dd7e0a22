"""Mean gestures of head, brows and eyes around phrases and stressed syllables, learned in closed form.

One ridge regression over tracked clips: movements on what is heard from a second before to half a second after. What
goes with nothing that is heard averages out, as it does around random times.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from talkingface.audio.mel import LevelTracker, loudest_bands, speech_columns
from talkingface.face.eye_motion import FPS
from talkingface.face.head_motion import EVENT_LEAD_FRAMES
from talkingface.face.phrases import KINDS, PAUSE_FRAMES, PhraseFollower
from talkingface.training.speaking_clips import SpeakingClip

GESTURE_FRAMES = 36
EDGE_FRAMES = 6
"""Gestures rise from nothing and fall back to it."""
SHORTEST_FRAMES = 50
COLUMNS_PER_FRAME = 4
RIDGE, ROUGHNESS = 0.1, 3.0
"""Of the mean power of a kind of event: for size, and for steps from frame to frame."""
GAIN = 1.6
"""Of gestures: what the penalty takes away, and what is lost where people do not do the same."""
LEAST_CHANCE = 0.4
"""Events whose gestures differ much have it at least so often: rarer ones would have to be larger than people's."""
STRONG, NEARLY_FRAMES, NOD_FRAMES = 0.8, 4, 7.0
"""Stresses that nods are learned from, frames around one that are no other time of speech, how soon nods are over."""
NOD_SMOOTHING_FRAMES = 1.5
SHIFT_RAD = 0.044
"""Of gaze within six frames, that counts: the tracker's noise is half as large."""
HIDDEN = 0.25
"""Closure from which the irises are not seen well."""
FARTHEST_RAD = 0.2
Rows = Sequence[tuple[np.ndarray, SpeakingClip]]


def is_phrase(clip: SpeakingClip) -> bool:
    """Whether a clip is long enough to hear a phrase in it, and all of it is seen."""
    return len(clip) >= SHORTEST_FRAMES and clip.weight.min() > 0


def learn_gestures(rows: Rows, scale: np.ndarray) -> dict[str, np.ndarray]:
    """Tensors of gestures for `HeadMotion` from clips with their channels [T, D], which `scale` [D] brings to size."""
    both = [(row, heard_events(row[1].samples, len(row[1]))) for row in rows]
    speaking = [(row, events) for row, events in both if events.any()] or both  # clips without sound say nothing
    rows, heard = [row for row, _ in speaking], [events for _, events in speaking]
    rates = [
        np.stack([blink_starts(clip.blink[:, 0]), gaze_shifts(clip.gaze, clip.blink[:, 0])], 1) for _, clip in rows
    ]
    mean = np.maximum(np.concatenate(rates).mean(axis=0), 1e-3)
    changes = [found / mean - 1 for found in rates]
    moves = [values - gaussian_filter1d(values, FPS, axis=0) for values, _ in rows]
    # long clips count more, but not in proportion; what heads do that hardly move is mostly the tracker's noise
    even = [len(clip) ** -0.5 for _, clip in rows]
    lively = [
        np.degrees(clip.pose[:, :3].std(axis=0)).mean() * share for share, (_, clip) in zip(even, rows, strict=True)
    ]
    shapes = _mean_shapes(heard, moves, lively)
    gestures = np.concatenate([GAIN * shapes * scale, _mean_shapes(heard, changes, even)], axis=2)
    gaze = np.mean([gaze_spread(clip) for _, clip in rows], axis=0)
    return {
        "gestures": gestures.astype(np.float32),
        "chance": _chances(heard, moves, shapes).astype(np.float32),
        "nod": (_nod(heard, moves) * scale).astype(np.float32),
        "gaze": gaze.astype(np.float32),
    }


def heard_events(samples: np.ndarray, count: int) -> np.ndarray:
    """How much of each kind of event is heard at each of `count` frames: float64 [T, E]."""
    columns = speech_columns(samples)[1:]
    loudest = loudest_bands(columns) - LevelTracker().push(columns)
    loudest = (
        loudest[: len(loudest) // COLUMNS_PER_FRAME * COLUMNS_PER_FRAME].reshape(-1, COLUMNS_PER_FRAME).mean(axis=1)
    )
    heard, follower = np.zeros((count, len(KINDS))), PhraseFollower()
    for value in loudest[: count + PAUSE_FRAMES].tolist():
        for event in follower.push(value):
            if event.frame < count:
                heard[event.frame, event.kind] = event.weight
    return heard


def blink_starts(closure: np.ndarray) -> np.ndarray:
    """1 where a blink begins: closure [T] -> float64 [T]."""
    return np.diff((closure > 0.5).astype(float), prepend=1.0).clip(0)


def gaze_shifts(gaze: np.ndarray, closure: np.ndarray) -> np.ndarray:
    """1 where gaze [T, 2] shifts, as far as open eyes show it: float64 [T]."""
    sizes = np.zeros(len(gaze))
    if len(gaze) > 8:
        means = np.lib.stride_tricks.sliding_window_view(gaze, 3, axis=0).mean(axis=2)
        sizes[4:-3] = np.linalg.norm(means[5:] - means[:-5], axis=1)[: len(gaze) - 7]
    sizes[gaussian_filter1d((closure > HIDDEN).astype(float), 1.5) > 0.05] = 0
    shifts = np.zeros(len(gaze))
    shifts[find_peaks(sizes, height=SHIFT_RAD, distance=5)[0]] = 1
    return shifts


def gaze_spread(clip: SpeakingClip) -> np.ndarray:
    """Standard deviations [2] of where open eyes look, without slow turns."""
    seen = clip.gaze[clip.blink[:, 0] < HIDDEN]
    return np.minimum(gaussian_filter1d(seen, 1.5, axis=0).std(axis=0), FARTHEST_RAD) if len(seen) else np.zeros(2)


def _mean_shapes(heard: Sequence[np.ndarray], moves: Sequence[np.ndarray], shares: Sequence[float]) -> np.ndarray:
    """[E, GESTURE_FRAMES, C], each without a mean, so that many events move the head nowhere."""
    size = len(KINDS) * GESTURE_FRAMES
    gram, product = np.zeros((size, size)), np.zeros((size, moves[0].shape[1]))
    for events, values, share in zip(heard, moves, shares, strict=True):
        around = _around(events)
        gram += share * around.T @ around
        product += share * around.T @ values
    steps = np.diff(np.eye(GESTURE_FRAMES), axis=0)
    penalty = RIDGE * np.eye(GESTURE_FRAMES) + ROUGHNESS * steps.T @ steps
    for kind in range(len(KINDS)):
        block = slice(kind * GESTURE_FRAMES, (kind + 1) * GESTURE_FRAMES)
        gram[block, block] += max(np.diag(gram)[block].mean(), 1e-3) * penalty
    shapes = np.linalg.solve(gram, product).reshape(len(KINDS), GESTURE_FRAMES, -1)
    edge = np.sin(np.linspace(0, np.pi / 2, EDGE_FRAMES + 1)[1:]) ** 2
    window = np.concatenate([edge, np.ones(GESTURE_FRAMES - 2 * EDGE_FRAMES), edge[::-1]])[:, None]
    return window * (shapes - (window * shapes).sum(axis=1, keepdims=True) / window.sum())


def _around(events: np.ndarray) -> np.ndarray:
    """For each frame what is heard around it: [T, E * GESTURE_FRAMES], from `EVENT_LEAD_FRAMES` later to earlier."""
    padded = np.pad(events, ((GESTURE_FRAMES, EVENT_LEAD_FRAMES), (0, 0)))
    view = np.lib.stride_tricks.sliding_window_view(padded, GESTURE_FRAMES, axis=0)[1 + EVENT_LEAD_FRAMES :]
    return view[: len(events), :, ::-1].reshape(len(events), -1)


def _chances(heard: Sequence[np.ndarray], moves: Sequence[np.ndarray], shapes: np.ndarray) -> np.ndarray:
    """How often events have their gesture, [E], if they have it in one size or not at all.

    Sizes s found around real events vary more than around other times by (1 - p) / p of their squared mean.
    """
    chances = []
    for kind, shape in enumerate(shapes):
        found: list[list[float]] = [[], []]
        for events, values in zip(heard, moves, strict=True):
            view = np.lib.stride_tricks.sliding_window_view(values, GESTURE_FRAMES, axis=0)
            sizes = np.einsum("tcl,lc->t", view, shape) / max((shape**2).sum(), 1e-9)
            at = np.zeros(len(values), bool)
            at[:] = events[:, kind] > 0
            at = at[EVENT_LEAD_FRAMES : EVENT_LEAD_FRAMES + len(sizes)]
            found[0] += sizes[at].tolist()
            found[1] += sizes[~at].tolist()
        if min(map(len, found)) < 2:
            chances.append(1.0)
            continue
        more = max(np.var(found[0]) - np.var(found[1]), 0.0) / max(float(np.mean(found[0])), 0.1) ** 2
        chances.append(float(np.clip(1 / (1 + more), LEAST_CHANCE, 1.0)))
    return np.array(chances)


def _nod(heard: Sequence[np.ndarray], moves: Sequence[np.ndarray]) -> np.ndarray:
    """What heads do at stresses beyond what they do elsewhere in speech, up for one and down for another: standard
    deviations [GESTURE_FRAMES, D] of one movement, led by the pitch.

    Means show nothing of it, variances do: the principal component in time of the covariance at stresses less that at
    other times of speech.
    """
    stressed, spoken = [], []
    for events, values in zip(heard, moves, strict=True):
        if len(values) < GESTURE_FRAMES:
            continue
        view = np.lib.stride_tricks.sliding_window_view(values, GESTURE_FRAMES, axis=0)
        at = slice(EVENT_LEAD_FRAMES, EVENT_LEAD_FRAMES + len(view))
        near = np.convolve(events[:, KINDS.index("stress")] > 0, np.ones(2 * NEARLY_FRAMES + 1), "same") > 0
        speaking = np.cumsum(events[:, KINDS.index("start")] - (events[:, KINDS.index("end")] > 0)) > 0
        stressed.append(view[events[at, KINDS.index("stress")] >= STRONG])
        spoken.append(view[(speaking & ~near)[at]])
    near_it = np.exp(-(((np.arange(GESTURE_FRAMES) - EVENT_LEAD_FRAMES) / NOD_FRAMES) ** 2) / 2)
    real, other = (np.concatenate(found) * near_it for found in (stressed, spoken))
    if min(len(real), len(other)) < GESTURE_FRAMES:
        return np.zeros((GESTURE_FRAMES, real.shape[1]))
    more = np.einsum("tcl,tcm->clm", real, real) / len(real) - np.einsum("tcl,tcm->clm", other, other) / len(other)
    courses = np.linalg.eigh(more)[1][:, :, -1]  # [D, L], each of length one
    swings = [np.einsum("tcl,cl->tc", found, courses) for found in (real, other)]
    together = swings[0].T @ swings[0][:, 0] / len(real) - swings[1].T @ swings[1][:, 0] / len(other)
    sizes = together / np.sqrt(max(together[0], 1e-9))
    return gaussian_filter1d(courses * sizes[:, None], NOD_SMOOTHING_FRAMES, axis=1).T
