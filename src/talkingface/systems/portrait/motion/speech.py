"""Speech to motion in space `mesh478`: mouth, head, brows, blinks and gaze."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from talkingface.audio.speech_encoder import SpeechEncoder
from talkingface.core.types import Controls, Motion
from talkingface.face.head_motion import HeadMotion
from talkingface.face.mesh478_space import MESH478
from talkingface.face.spoken_mouth import FPS, MouthShaper
from talkingface.nn.quantised import dequantised
from talkingface.nn.speech_encoder_config import DELAYS
from talkingface.systems.portrait.config import PortraitConfig
from talkingface.systems.portrait.motion.audio2motion import speech_rows, with_prefix


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
