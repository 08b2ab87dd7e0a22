"""Head, brows and blinks for a voice: a seeded random process learned from tracked clips.

Head pose and brows are filtered noise with the spectra, and the correlations between channels, of real
speakers; a clock that runs faster while there is voice than in pauses drives it, and a learned
response to loudness is added, and learned gestures around the beginnings and ends of phrases and around stressed
syllables, which also draw blinks and shifts of gaze. Noise is numbered by frame and gestures by event, so a seed gives
one motion however the voice is split. Every value is softly limited to what real heads do, and nothing accumulates, so
there is no drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from talkingface.face.eye_motion import RATES, Blinks, Gaze
from talkingface.face.phrases import KINDS, Event, PhraseFollower

NUM_POSE = 6
BLOCK = 128
"""Rows of noise made at once."""
PAUSE_PACE, VOICE_PACE = 0.45, 1.2
"""Speed of the process's clock without and with voice."""
EVENT_LEAD_FRAMES = 12
"""Of a learned gesture, frames before its event."""
EVENT_RATES = 2
"""Last columns of gestures: the rates of blinks and of shifts of gaze, less one."""
FADE_FRAMES = 8
"""How gradually a gesture begins whose event was heard after it should have begun."""
EVENNESS = 4.0
"""Shape of the gamma distribution of gestures' sizes, whose mean is one."""
SURER, LESS_SURE = 0.3, 0.004
"""How fast events count, a frame, while a voice is heard or about to be, and cease to when there is none: music nods no
head."""
_NOISE, _BLINK, _EVENTS, _GAZE = 0, 1, 2, 3  # independent streams of random numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRows:
    """Motion of T frames: `pose` float32 [T, 6] as in `Motion`, `brow` [T, B] coefficients, `blink` [T, 1], and `gaze`
    [T, 2] as in `Motion` or None."""

    pose: np.ndarray
    brow: np.ndarray
    blink: np.ndarray
    gaze: np.ndarray | None = None


def _random(seed: int, stream: int, block: int = 0) -> np.random.Generator:
    # a list of large numbers would become floats, and seeds that differ in their last bits the same
    key = np.array([seed, stream], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, block]))


class NoiseProcess:
    """Stationary filtered noise [.., D]: row i is sum over k of kernel[k] @ noise[i + k], for any i >= 0.

    `kernel` [2K + 1, D, D]. Rows are made in blocks of fixed shape: their values do not depend on the order of asking.
    """

    def __init__(self, kernel: np.ndarray, seed: int) -> None:
        taps, self._channels, _ = kernel.shape
        self._matrix = np.ascontiguousarray(kernel.transpose(0, 2, 1).reshape(taps * self._channels, -1), np.float64)
        self._taps, self._seed = taps, seed
        self._blocks: dict[int, np.ndarray] = {}

    def _noise(self, block: int) -> np.ndarray:
        generator = _random(self._seed, _NOISE, block)
        return generator.standard_normal((BLOCK, self._channels))

    def _rows(self, block: int) -> np.ndarray:
        if block not in self._blocks:
            noise = np.concatenate([self._noise(block + k) for k in range(-(-self._taps // BLOCK) + 1)])
            view = np.lib.stride_tricks.sliding_window_view(noise, self._taps, axis=0)[:BLOCK]
            for old in [number for number in self._blocks if number < block - 2]:
                del self._blocks[old]
            self._blocks[block] = view.transpose(0, 2, 1).reshape(BLOCK, -1) @ self._matrix
        return self._blocks[block]

    def at(self, position: float) -> np.ndarray:
        """The process at a real position >= 1, by a cubic through its four neighbours: float64 [D]."""
        first = int(position) - 1
        x = position - int(position)
        rows, place = self._rows(first // BLOCK), first % BLOCK
        if place + 4 > BLOCK:
            rows = np.concatenate([rows[place:], self._rows(first // BLOCK + 1)[:4]])
            place = 0
        a, b, c, d = rows[place : place + 4]
        return b + 0.5 * x * (c - a + x * (2 * a - 5 * b + 4 * c - d + x * (3 * (b - c) + d - a)))


class Gestures:
    """What head, brows and eyes do around events in speech: learned mean movements, each of random size or left out.

    `gestures` [E, L, C]: by kind of event (`phrases.KINDS`), for frames from `EVENT_LEAD_FRAMES` before it on; the last
    `EVENT_RATES` channels are rates. `chance` [E]: how often an event has its gesture. `nod` [L, C - EVENT_RATES]: what
    a stress brings besides, up or down, as standard deviations.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], random: np.random.Generator) -> None:
        self._shapes, self._random = tensors["gestures"].astype(np.float64), random
        self._chance, self._nod = tensors["chance"].tolist(), tensors["nod"].astype(np.float64)
        self._phrases = PhraseFollower()
        self._heard, self._frame, self._sure = 0, -1, 0.0
        self._going: list[tuple[Event, int, np.ndarray]] = []  # the frame at which an event was known; what it brings

    def push(self, voice: float, loudest: np.ndarray) -> np.ndarray:
        """What is added to the next frame [C], whose probability of voice is given; `loudest`: what became known of
        the loudness (see `PhraseFollower`) since the frame before."""
        self._frame += 1
        for value in loudest.tolist():
            for event in self._phrases.push(value):
                self._going.append((event, self._frame, event.weight * self._gesture(event.kind)))
        step = voice - self._sure
        self._sure += (SURER if step > 0 else LESS_SURE) * step
        added = np.zeros(self._shapes.shape[2])
        for event, known, gesture in self._going:
            place = self._frame - event.frame + EVENT_LEAD_FRAMES
            if 0 <= place < self._shapes.shape[1]:
                late = known > event.frame - EVENT_LEAD_FRAMES
                share = min((self._frame - known + 1) / FADE_FRAMES, 1.0) if late else 1.0
                added += share * share * (3 - 2 * share) * gesture[place]
        last = self._frame - self._shapes.shape[1]
        self._going = [entry for entry in self._going if entry[0].frame > last]
        return self._sure * added

    def _gesture(self, kind: int) -> np.ndarray:
        """What an event brings, [L, C]: rates always, movements in a random size or not at all."""
        size, swing = self._random.gamma(EVENNESS) / EVENNESS, self._random.standard_normal()
        chance = self._chance[kind]
        chosen = self._random.random() < chance
        gesture = self._shapes[kind].copy()
        gesture[:, :-EVENT_RATES] *= chosen * size / chance
        if KINDS[kind] == "stress":
            gesture[:, :-EVENT_RATES] += chosen * swing / np.sqrt(chance) * self._nod
        return gesture


class HeadMotion:
    """Head motion for a voice: `push` its features, frame by frame in order, in pieces of any length.

    `tensors`: `kernel` [2K + 1, 6 + B, 6 + B], `response` [L, 6 + B] to loudness of the last L frames, `limit` [6 + B],
    `blink` [P] closure profile. Those that also learned what goes with phrases have `gestures` [E, L, 6 + B + 2],
    `chance` [E] and `nod` [L, 6 + B] (see `Gestures`), and `gaze` [2] (see `Gaze`). `blink_rate` scales the natural
    rate.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], seed: int, blink_rate: float = 1.0) -> None:
        self._process = NoiseProcess(tensors["kernel"].astype(np.float64), seed)
        self._response = tensors["response"].astype(np.float64)
        self._limit = tensors["limit"].astype(np.float64)
        self._blinks = Blinks(tensors["blink"], _random(seed, _BLINK), blink_rate)
        self._gestures: Gestures | None = None
        if "gestures" in tensors:
            self._gestures = Gestures(tensors, _random(seed, _EVENTS))
            self._gaze = Gaze(tensors["gaze"], _random(seed, _GAZE))
        self._heard = np.zeros(len(self._response))
        self._slow_voice, self._mean_loudness = 0.0, 0.0
        self._position = 1.0
        self._known = 0  # frames of `loudest` that the gestures have had

    def push(
        self,
        voice: np.ndarray,
        loudness: np.ndarray,
        loudest: np.ndarray | None = None,
        coming: np.ndarray | None = None,
    ) -> HeadRows:
        """`voice` [T] probability of speech, `loudness` [T] in dB relative to the voice's level, `coming` [T] the
        probability that there is speech soon (None: not known).

        `loudest` [T + A], of the loudest bands, goes on for A frames, always as many: gestures can begin before what
        they go with. None: there are no gestures, as with tensors that learned none.
        """
        rows = np.empty((len(voice), len(self._limit)))
        blink, gaze = np.empty((len(voice), 1), np.float32), np.zeros((len(voice), 2), np.float32)
        moving = self._gestures if loudest is not None else None
        sure = voice if coming is None else np.maximum(voice, coming)
        for k, (spoken, loud) in enumerate(zip(voice.tolist(), loudness.tolist(), strict=True)):
            self._slow_voice += 0.08 * (spoken - self._slow_voice)
            self._position += PAUSE_PACE + (VOICE_PACE - PAUSE_PACE) * self._slow_voice
            # loudness about its own slow mean: stress, not level
            stress = spoken * min(max(loud / 20 + 1, -1.0), 1.0)
            self._mean_loudness += 0.02 * (stress - self._mean_loudness)
            self._heard = np.append(self._heard[1:], stress - self._mean_loudness)
            value = self._process.at(self._position) + self._heard[::-1] @ self._response
            blinking: float | None = None
            if moving is not None and loudest is not None:
                end = k + 1 + len(loudest) - len(voice)
                added = moving.push(float(sure[k]), loudest[end - 1 if self._known else 0 : end])
                self._known += 1
                value = value + added[:-EVENT_RATES]
                blinking, shifting = np.clip(1 + added[-EVENT_RATES:], *RATES).tolist()
                gaze[k] = self._gaze.push(shifting)
            rows[k] = self._limit * np.tanh(value / self._limit)
            blink[k] = self._blinks.push(spoken, blinking)
        rows = rows.astype(np.float32)
        return HeadRows(
            pose=rows[:, :NUM_POSE], brow=rows[:, NUM_POSE:], blink=blink, gaze=None if moving is None else gaze
        )


def untrained_head_motion(num_brow: int) -> dict[str, np.ndarray]:
    """Tensors of a head that sways a little, makes a small gesture at every event and blinks: what tests run on."""
    columns = NUM_POSE + num_brow
    bump, gesture = np.hanning(25).astype(np.float32)[:, None, None], 0.02 * np.hanning(30)
    return {
        "kernel": 0.01 * bump * np.eye(columns, dtype=np.float32),
        "response": np.zeros((5, columns), np.float32),
        "limit": np.full(columns, 0.1, np.float32),
        "blink": np.array([0, 0.5, 1, 1, 0.5, 0.2, 0], np.float32),
        "gestures": np.repeat(gesture[None, :, None], len(KINDS), axis=0).repeat(columns + EVENT_RATES, 2),
        "chance": np.full(len(KINDS), 0.7, np.float32),
        "nod": np.repeat(gesture[:, None], columns, axis=1),
        "gaze": np.full(2, 0.05, np.float32),
    }
