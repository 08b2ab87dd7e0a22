"""Speech to motion in space `mesh478`: what the network hears becomes a mouth, a head, brows and blinks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from talkingface.audio.mel import NUM_BANDS
from talkingface.core.types import Controls, Motion
from talkingface.systems.portrait.audio2motion import (
    COLUMNS_PER_FRAME,
    FPS,
    FUTURE,
    SAMPLES_PER_FRAME,
    SpeechRows,
    speech_rows,
    with_prefix,
)
from talkingface.systems.portrait.head_motion import NUM_POSE, HeadMotion
from talkingface.systems.portrait.motion_config import MouthConfig


class MouthShaper:
    """From what the network says to mouth coefficients that can be drawn: still and closed in silence, lips that
    meet in /p b m/, never through each other.

    `measures` [3, M]: change of gap, width and jaw per coefficient; `gain` [1]: what regression to the mean took away.
    """

    QUIET, SURE = 0.2, 0.6
    """Probabilities of coming speech below which the mouth may rest and above which it moves freely."""
    PATIENCE_FRAMES = 20
    """Pauses up to this long belong to the speech: real mouths do not close in them."""
    FIRST_GAP, FIRST_VOICE = 0.026, 0.7
    """Until speech of this probability is coming the lips part by no more than this: people breathe in before they
    speak, but silence alone opens no mouth."""
    FALL, RISE = 0.08, 0.34
    """How much the mouth comes to rest, and sets off again, per frame."""
    CLOSURE = (0.3, 0.42)
    """Probabilities of lips that meet at which closing begins and is complete."""

    def __init__(self, measures: np.ndarray, gain: float) -> None:
        self._gap = measures[0].astype(np.float32)
        self._towards = self._gap / (self._gap @ self._gap)  # the likeliest change that opens the lips by one
        self._gain = np.float32(gain)
        self._freedom, self._pause, self._spoken = 1.0, 0, False

    def push(self, rows: SpeechRows) -> np.ndarray:
        """Mouth coefficients float32 [T, M]."""
        freedom, most = np.empty((2, len(rows.coming), 1), np.float32)
        for k, voice in enumerate(_ramp(rows.coming, self.QUIET, self.SURE).tolist()):
            self._spoken |= bool(rows.coming[k] > self.FIRST_VOICE)
            self._pause = 0 if voice > 0.5 else self._pause + 1
            wanted = voice if self._pause > self.PATIENCE_FRAMES else max(voice, self._freedom)
            self._freedom = min(max(wanted, self._freedom - self.FALL), self._freedom + self.RISE)
            freedom[k], most[k] = self._freedom, np.inf if self._spoken else self.FIRST_GAP
        mouth = rows.mouth * self._gain * freedom
        gap = mouth @ self._gap
        wanted = np.clip(gap, 0, most[:, 0]) * (1 - _ramp(rows.closure, *self.CLOSURE))
        return mouth + (wanted - gap)[:, None] * self._towards


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    x = np.clip((values - low) / (high - low), 0, 1)
    return x * x * (3 - 2 * x)


class SpeechToMotion:
    """Speech to motion in space `mesh478`: mouth, brows, head pose and blinks, at 25 fps.

    `tensors`: arrays whose names begin with `audio2motion.` and `head_motion.`; others are ignored. Where there
    are none, `fresh_tensors` take their place: random motion, for tests and trainings.

    Example: `for motion in SpeechToMotion(tensors, MouthConfig()).stream(pieces, Controls(seed=1)): ...`
    """

    LATENCY_FRAMES = -(-(FUTURE + SAMPLES_PER_FRAME) // SAMPLES_PER_FRAME)
    """Whole frames of sound after a frame's own time that it waits for (190 ms, so five)."""

    def __init__(self, tensors: Mapping[str, np.ndarray], config: MouthConfig) -> None:
        if not any(name.startswith("audio2motion.") for name in tensors):
            tensors = fresh_tensors(config)
        self._mouth = with_prefix(tensors, "audio2motion.")
        self._head = with_prefix(tensors, "head_motion.")
        self._config = config

    def stream(self, pieces: Iterable[np.ndarray], controls: Controls) -> Iterator[Motion]:
        """Motion from mono float32 speech at 16 kHz in pieces of any length; the result does not depend on the pieces.

        Covers every frame that begins within the speech. Head pose is at rest unless `controls.pose` is "generated".
        """
        head = HeadMotion(self._head, controls.seed, controls.blink)
        shaper = MouthShaper(self._mouth["measures"], float(self._mouth["gain"][0]))
        for rows in speech_rows(self._mouth, self._config, pieces):
            mouth = shaper.push(rows)
            moves = head.push(rows.voice, rows.loudness - rows.level)
            expression = np.concatenate([mouth, moves.brow], axis=1) * np.float32(controls.expression_scale)
            scale = controls.pose_scale if controls.pose == "generated" else 0.0
            yield Motion(
                space="mesh478",
                expression=expression.astype(np.float32),
                pose=moves.pose * np.float32(scale),
                blink=moves.blink,
                fps=FPS,
                start=rows.start,
            )


def fresh_tensors(config: MouthConfig, num_brow: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """Random but seeded tensors of the right names and shapes: small, smooth motion that means nothing."""
    rng = np.random.default_rng(seed)
    channels = NUM_POSE + num_brow
    bump = np.exp(-((np.arange(-20, 21) / 8.0) ** 2))[:, None, None]
    shapes = network_shapes(config).items()
    mouth = {f"{k}.{name}": rng.normal(0, 0.05, shape) for k in range(config.members) for name, shape in shapes}
    mouth |= {name: np.ones(value.shape) for name, value in mouth.items() if name.endswith("norm.weight")}
    mouth |= {"measures": rng.normal(0, 0.03, (3, config.num_mouth)), "gain": np.ones(1)}
    head = {
        "kernel": 0.01 * bump * np.eye(channels),
        "response": np.zeros((5, channels)),
        "limit": np.full(channels, 0.05),
        "blink": np.array([0.0, 0.5, 1.0, 0.5, 0.0]),
    }
    named = {f"audio2motion.{k}": v for k, v in mouth.items()} | {f"head_motion.{k}": v for k, v in head.items()}
    return {name: value.astype(np.float32) for name, value in named.items()}


def network_shapes(config: MouthConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the parameters of one member of the mouth network."""
    width, front = config.width, config.front
    shapes: dict[str, tuple[int, ...]] = {
        "front.weight": (front, NUM_BANDS, 3),
        "front.bias": (front,),
        "pool.weight": (width, front, COLUMNS_PER_FRAME),
        "pool.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "head.weight": (config.outputs, width),
        "head.bias": (config.outputs,),
    }
    for k in range(len(config.dilations)):
        shapes |= {f"blocks.{k}.norm.weight": (width,), f"blocks.{k}.norm.bias": (width,)}
        shapes |= {f"blocks.{k}.conv.weight": (width, width, 3), f"blocks.{k}.conv.bias": (width,)}
        shapes |= {f"blocks.{k}.mix.weight": (width, width, 1), f"blocks.{k}.mix.bias": (width,)}
    return shapes
