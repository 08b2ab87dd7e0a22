"""Speech to motion in space `mesh478`: mouth, head, brows, blinks and gaze."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from talkingface.audio.speech_encoder import SpeechEncoder
from talkingface.core.types import Controls, Motion
from talkingface.face.head_motion import HeadMotion
from talkingface.face.mesh478_space import MESH478
from talkingface.face.mouth_shape import parting, stretching
from talkingface.nn.quantised import dequantised
from talkingface.nn.speech_encoder_config import DELAYS
from talkingface.systems.portrait.config import PortraitConfig
from talkingface.systems.portrait.motion.audio2motion import FPS, SpeechRows, speech_rows, with_prefix


class MouthShaper:
    """From what the network says to mouth coefficients that can be drawn: still and closed in silence, lips that
    meet in /p b m/, never through each other.

    `measures` [3, M]: change of gap, width and jaw per coefficient; `gain` [3]: by how much each of them has to move
    farther, because regression to the mean takes movement away.
    """

    QUIET, SURE = 0.4, 0.8
    """Probabilities of coming speech below which the mouth may rest and above which it moves freely."""
    PATIENCE_FRAMES = 20
    """Pauses up to this long belong to the speech: real mouths do not close in them."""
    FIRST_GAP, FIRST_VOICE = 0.026, 0.7
    """Until speech of this probability is coming the lips part by no more than this: people breathe in before they
    speak, but silence alone opens no mouth."""
    FALL, RISE = 0.08, 0.34
    """How much the mouth comes to rest, and sets off again, per frame."""
    CLOSURE = (0.25, 0.6)
    """Probabilities of lips that meet at which closing begins and is complete."""
    TEETH, TEETH_GAP = (0.1, 0.35), 0.012
    """The same for a lower lip on the upper teeth, and how far the lips part then at most."""

    def __init__(self, measures: np.ndarray, gain: np.ndarray) -> None:
        self._stretch, self._towards = stretching(measures, gain), parting(measures)
        self._gap = measures[0].astype(np.float32)
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
        mouth = rows.mouth @ self._stretch * freedom
        gap = mouth @ self._gap
        wanted = np.clip(gap, 0, most[:, 0])
        wanted -= np.maximum(wanted - self.TEETH_GAP, 0) * _ramp(rows.teeth, *self.TEETH)
        wanted *= 1 - _ramp(rows.closure, *self.CLOSURE)
        return mouth + (wanted - gap)[:, None] * self._towards


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    x = np.clip((values - low) / (high - low), 0, 1)
    return x * x * (3 - 2 * x)


class SpeechToMotion:
    """Speech to motion in space `mesh478`: mouth, brows, head pose, blinks and gaze, at 25 fps.

    `tensors`: arrays whose names begin with `audio2motion.` and `head_motion.`; others are ignored.

    Example: `for motion in SpeechToMotion(tensors, PortraitConfig()).stream(pieces, Controls(seed=1)): ...`
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], config: PortraitConfig) -> None:
        mouth = dequantised(with_prefix(tensors, "audio2motion."))
        self._measures, self._gains = mouth["measures"], with_prefix(mouth, "gain.")
        self._readers = {delay: with_prefix(mouth, f"{delay}.") for delay in DELAYS}
        self._head = with_prefix(tensors, "head_motion.")
        self._config, self._encoder = config, SpeechEncoder.load(config.encoder)

    def stream(self, pieces: Iterable[np.ndarray], controls: Controls) -> Iterator[Motion]:
        """Motion from mono float32 speech at 16 kHz in pieces of any length; the result does not depend on the pieces.

        Covers every frame that begins within the speech. Head pose is at rest unless `controls.pose` is "generated".
        """
        head = HeadMotion(self._head, controls.seed, controls.blink)
        shaper = MouthShaper(self._measures, self._gains[controls.delay])
        reader = self._readers[controls.delay]
        for rows in speech_rows(self._encoder, reader, self._config.speech, pieces, controls.delay):
            mouth = shaper.push(rows)
            moves = head.push(rows.voice, rows.loudness - rows.level, rows.loudest, rows.coming)
            expression = np.concatenate([mouth, moves.brow], axis=1) * np.float32(controls.expression_scale)
            scale = controls.pose_scale if controls.pose == "generated" else 0.0
            yield Motion(
                space=MESH478.name,
                space_version=MESH478.version,
                expression=expression.astype(np.float32),
                pose=moves.pose * np.float32(scale),
                blink=moves.blink,
                gaze=None if moves.gaze is None else moves.gaze * np.float32(controls.gaze),
                fps=FPS,
                start=rows.start,
            )
