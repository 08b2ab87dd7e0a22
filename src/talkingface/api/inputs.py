"""The user's inputs: kind of face, source of the speech, head pose."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from talkingface.clips.source import existing_media, is_pipe
from talkingface.core.cache import user_path
from talkingface.core.errors import ArgumentError, InputError, OutputError, SpeechError, UsageError
from talkingface.core.timing import num_frames, samples_to_time
from talkingface.core.types import Audio, check_level, described

RATE_HZ = 16000
MIN_SPEECH_S = 0.1
SpeechSource = str | Path | Audio | Iterable[np.ndarray]


@dataclass(slots=True)
class Speech:
    """The voice, read as often as asked: `pieces` counts what passes, so that the picture can end with the sound.

    `track`: which sound track of a file, 0 first; None: the default one. `notes`: sentences for the user, known once it
    was begun to be read.
    """

    source: SpeechSource
    track: int | None = None
    notes: list[str] = field(default_factory=list, init=False)
    num_samples: int | None = field(default=None, init=False)
    """Length at 16 kHz, known once it was read to its end."""
    _spooled: IO[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Refuse what is no speech. What comes from a pipe can be read once only: it is copied to a temporary file that
        lives as long as this."""
        if isinstance(self.source, (bytes, bytearray)) or not isinstance(self.source, (str, Path, Audio, Iterable)):
            raise ArgumentError(f"speech is a path, an Audio or arrays in pieces, not {described(self.source)}")
        if isinstance(self.source, (str, Path)) and is_pipe(user_path(self.source)):
            self._spooled = _spool(user_path(self.source))
            self.source = Path(self._spooled.name)

    def pieces(self) -> Iterator[np.ndarray]:
        """Mono float32 at 16 kHz. Raises SpeechError for sound that is too short or not finite."""
        from talkingface.audio.levels import Levels

        total, levels = 0, Levels(RATE_HZ)
        for piece in self._raw_pieces():
            if not np.isfinite(piece).all():
                raise SpeechError(
                    "the speech has samples that are not numbers (NaN or infinite); export the sound again"
                )
            check_level(piece)
            total += len(piece)
            levels.take(piece)
            yield piece
        if total < MIN_SPEECH_S * RATE_HZ:
            raise SpeechError(f"the speech is only {total / RATE_HZ:.2f} s long; give at least {MIN_SPEECH_S} s")
        self.num_samples = total
        if not levels.have_voice():
            self.notes.append("no voice is heard in the speech; check that it is the right sound")

    def _raw_pieces(self) -> Iterator[np.ndarray]:
        if isinstance(self.source, (str, Path)):
            from talkingface.audio.read import stream_audio

            path = existing_media(self.source)
            if path.is_dir():
                raise SpeechError(f"{path} is a folder, which has no sound; give the speech as a sound or video file")
            self.notes = []
            return stream_audio(path, RATE_HZ, track=self.track, notes=self.notes)
        if self.track is not None:
            raise UsageError("--sound-track is for speech from a file")
        if isinstance(self.source, Audio):
            self.notes = []
            return iter([_to_mono_16k(self.source, self.notes)])
        pieces = [self.source] if isinstance(self.source, np.ndarray) else self.source
        return (_checked_piece(piece) for piece in pieces)

    def check(self) -> None:
        """Read the beginning of stored speech, so that its faults show before long work."""
        heard = 0
        for piece in self.pieces() if self.is_stored else ():
            heard += len(piece)
            if heard >= MIN_SPEECH_S * RATE_HZ:
                return

    def measure(self) -> None:
        """Read it through for its length, unless that is known."""
        if self.num_samples is None and self.is_stored:
            for _ in self.pieces():
                pass

    @property
    def is_stored(self) -> bool:
        """Whether it can be read again and put into a file: a path or an Audio, not pieces that arrive once."""
        return isinstance(self.source, (str, Path, Audio))

    def duration_s(self) -> float | None:
        """Length in seconds as far as it is known without reading everything; for progress."""
        if isinstance(self.source, Audio):
            return self.source.duration_s
        if isinstance(self.source, (str, Path)):
            from talkingface.video.sound import sound_length_s

            return sound_length_s(user_path(self.source))
        return None

    def end_frame(self, fps: float) -> int | None:
        """The number of frames that begin within the speech, once it was read to its end."""
        return None if self.num_samples is None else num_frames(samples_to_time(self.num_samples, RATE_HZ), fps)


def _checked_piece(piece: object) -> np.ndarray:
    if not isinstance(piece, np.ndarray) or piece.ndim != 1 or piece.dtype.kind != "f":
        raise SpeechError(
            "speech in pieces is mono: arrays float32 [N] at 16 kHz with values in [-1, 1], not "
            f"{described(piece)}; give an Audio for other sound"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is refused
        return np.ascontiguousarray(piece, np.float32)


def _spool(path: Path) -> IO[bytes]:
    """A named temporary file with everything that comes from `path`."""
    try:
        spool = tempfile.NamedTemporaryFile(prefix="talkingface-", suffix=".speech")  # noqa: SIM115 (the caller closes it)
    except OSError as error:
        raise OutputError("speech from a pipe needs a temporary file; set TMPDIR to a writable folder") from error
    try:
        with open(path, "rb") as pipe:
            shutil.copyfileobj(pipe, spool)
        spool.flush()
    except OSError as error:
        spool.close()
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    return spool


def _to_mono_16k(audio: Audio, notes: list[str]) -> np.ndarray:
    from talkingface.video.channels import mix

    mono = mix(audio.samples, notes)
    if audio.rate_hz == RATE_HZ:
        return mono
    import soxr

    return soxr.resample(mono, audio.rate_hz, RATE_HZ).astype(np.float32)
