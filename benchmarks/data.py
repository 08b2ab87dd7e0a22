"""Development data that several measurements use: speech, the beginning of a clip, its track, where its mouth is."""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import TypeVar

import numpy as np

from talkingface.clips.tracked import track_clip
from talkingface.core.errors import InputError
from talkingface.core.timing import num_samples
from talkingface.core.types import Track
from talkingface.face.topology import LIPS
from talkingface.video.read import VideoFrame, read_frames

CLIP_S = 10.0
LONGEST_PX = 1280
MOUTH = 1.5  # the mouth box over the lips' own
NO_PERSON = ("animal_dog",)
_HEARD_HZ = 48000
Item = TypeVar("Item")


def write_voice(data: Path, seconds: float, target: Path) -> None:
    """Write `seconds` of the speech files of a data folder one after the other, from the start again if need be.

    Raises InputError when there are none.
    """
    from talkingface.audio.read import read_audio

    files = sorted(path for path in (data / "speech").glob("*.*") if path.suffix in (".wav", ".mp3", ".flac"))
    if not files:
        raise InputError(f"{data / 'speech'} holds no sound files; give the folder of development data")
    left = num_samples(seconds, _HEARD_HZ)
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_HEARD_HZ)
        for path in cycle(files):
            pcm = (read_audio(path, _HEARD_HZ).samples[0, :left] * 32767).astype("<i2")
            file.writeframes(pcm.tobytes())
            left -= len(pcm)
            if left <= 0:
                return


def portraits(data: Path, limit: int | None = None) -> list[Path]:
    """The pictures of a data folder that show a person's face; `limit` of them are spread over the sorted names."""
    return spread(sorted(p for p in (data / "portrait").iterdir() if p.is_file() and p.stem not in NO_PERSON), limit)


def spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` items, evenly from first to last, so that a quick trial sees all kinds of them."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[round((k + 0.5) * len(items) / limit - 0.5)] for k in range(limit)]


def clip_track(path: Path) -> Track:
    """The cached track of a clip's beginning, frame by frame as `beginning` gives them."""
    return track_clip(path, longest_px=LONGEST_PX, end_s=CLIP_S).track


def beginning(path: Path) -> Iterator[VideoFrame]:
    """The first ten seconds of a clip, at most 1280 pixels wide or high."""
    for frame in read_frames(path, longest_px=LONGEST_PX):
        if frame.time_s >= CLIP_S:
            return
        yield frame


def mouth_box(points: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The lips' bounding box, enlarged, as rows and columns."""
    lips = points[list(LIPS), :2]
    low, high = lips.min(0), lips.max(0)
    grown = (high - low) * (MOUTH - 1) / 2
    return inside(low - grown, high + grown, shape)


def inside(low: np.ndarray, high: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The part of a box that lies in a picture of `shape`, as rows and columns."""
    x0, y0 = np.maximum(np.round(low), 0).astype(int)
    x1, y1 = (round(v) for v in np.minimum(high, (shape[1], shape[0])))
    return slice(y0, y1), slice(x0, x1)
