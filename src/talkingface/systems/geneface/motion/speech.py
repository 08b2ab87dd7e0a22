"""A voice to the motion of one person, as a stream: general networks, then what the adapter knows of the person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from talkingface.audio.speech_encoder import SpeechEncoder
from talkingface.core.arrays import part
from talkingface.face.head_motion import HeadMotion, HeadRows
from talkingface.face.spoken_mouth import FPS, SpeechRows, read_rows
from talkingface.nn.quantised import dequantised
from talkingface.systems.geneface.motion.config import DELAYS, SpeechConfig
from talkingface.systems.geneface.motion.person import OUTPUTS, PersonMouth, tuned

__all__ = ["FPS", "PersonSpeech", "Spoken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What a voice does in frames `start` to `start` + T - 1 of 25 fps.

    `expression` float32 [T, 20] in space `mesh478`; `head`: pose, blinks and gaze of the shared head motion with
    the person's own spectra; `rows`: what was heard.
    """

    start: int
    expression: np.ndarray
    head: HeadRows
    rows: SpeechRows


class PersonSpeech:
    """The general weights with one person's adapter, ready to run in any number of threads.

    `general`: arrays of `geneface.general`; `adapter`: those of `adapt.Adapter`, or none for nobody in particular.

    Example: `for expression in PersonSpeech(general, adapter, config).stream(pieces, seed=1): ...`
    """

    def __init__(
        self, general: Mapping[str, np.ndarray], adapter: Mapping[str, np.ndarray], config: SpeechConfig
    ) -> None:
        self.general, self.config, self.encoder = general, config, SpeechEncoder.load(config.encoder)
        speech = dequantised(part(general, "speech"))
        self.measures = speech["measures"].astype(np.float32)
        self.gains = part(speech, "gain")
        self.heads = {delay: part(speech, delay) for delay in DELAYS}
        self._adapter = {name: value.astype(np.float32) for name, value in dequantised(adapter).items()}
        self.head_motion = part(general, "head_motion") | part(self._adapter, "head_motion")
        self._narrow: dict[str, list[dict[str, np.ndarray]]] = {}
        for delay, head in self.heads.items():
            additions = part(self._adapter, f"{delay}.tuned")
            self._narrow[delay] = [tuned(head, additions)] if additions else []

    def ahead_s(self, delay: str = "best") -> float:
        """Seconds of the voice after a frame's time that decide it."""
        return self.config.hearing(delay).ahead_s(self.encoder.config)

    def stream(self, pieces: Iterable[np.ndarray], seed: int, delay: str = "best") -> Iterator[np.ndarray]:
        """Expression float32 [T, 20] at 25 fps of mono float32 speech at 16 kHz in pieces of any length, which do not
        change the result. Covers every frame that begins within the speech; equal seeds give equal motion."""
        for spoken in self.spoken(pieces, seed, delay):
            yield spoken.expression

    def spoken(
        self, pieces: Iterable[np.ndarray], seed: int, delay: str = "best", *, blink: float = 1.0
    ) -> Iterator[Spoken]:
        """The same with head motion, blinks (`blink` scales their rate) and what was heard."""
        how = self.config.hearing(delay)
        mouth = PersonMouth(self._adapter, self.measures, self.gains[delay], delay, seed)
        head = HeadMotion(self.head_motion, seed, blink)
        for heard in self.encoder.frames(pieces, self.heads[delay], how.head, how.delay, *self._narrow[delay]):
            rows = read_rows(heard.start, heard.rows[:, :OUTPUTS], heard.loudness, heard.level, heard.loudest)
            moves = head.push(rows.voice, rows.loudness - rows.level, rows.loudest, rows.coming)
            shown = mouth.push(heard.rows, rows)
            yield Spoken(
                start=rows.start,
                expression=np.concatenate([shown, moves.brow], axis=1).astype(np.float32),
                head=moves,
                rows=rows,
            )
