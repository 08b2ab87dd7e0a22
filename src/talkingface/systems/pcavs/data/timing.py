"""Which mel columns and which frames belong together, in whole numbers: the published indexing and ours."""

from __future__ import annotations

from talkingface.core.timing import num_frames, samples_to_time

RATE_HZ = 16000
FPS = 25
HOP = 160
COLUMNS_PER_FRAME = 4
WINDOW_COLUMNS = 20
"""Mel columns in the window of one video frame: five frames."""
FRAMES_BEFORE = 2
"""Video frames that a window begins before its own."""
WINDOW_OVERLAP = 7
"""Columns that the padding in front of the sound adds."""


def mel_length(num_samples: int) -> int:
    """Mel columns of so many samples at 16 kHz."""
    return WINDOW_OVERLAP + -(-num_samples // HOP)


def frame_range(mel_frames: int) -> range:
    """Video frames that the original makes of so many mel columns: those whose window lies wholly inside."""
    return range(FRAMES_BEFORE, mel_frames // COLUMNS_PER_FRAME - FRAMES_BEFORE)


def audible_frames(num_samples: int) -> int:
    """Video frames that begin within so many samples at 16 kHz: all of them get a picture here."""
    return num_frames(samples_to_time(num_samples, RATE_HZ), FPS)


def window_start(frame: int) -> int:
    """The first mel column of the window of video frame `frame`; negative before the sound begins."""
    return COLUMNS_PER_FRAME * (frame - FRAMES_BEFORE)


def ping_pong(frame: int, count: int) -> int:
    """Which of `count` pose frames video frame `frame` takes: there and back, both ends shown twice."""
    passes, place = divmod(frame, count)
    return count - 1 - place if passes % 2 else place
