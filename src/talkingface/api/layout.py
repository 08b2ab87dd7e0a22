"""The result beside what it was made from: reference, result, pose video, driving video, in one strip."""

from __future__ import annotations

import itertools
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkingface.clips.source import existing_media, pictures_in
from talkingface.core.timing import frame_position, frame_to_time
from talkingface.core.types import Avatar, Clip, Frames, Photo
from talkingface.core.weights import is_avatar

LAYOUTS = ("plain", "strip")
_TURN_FRAMES = 24
"""Frames that are held at a time while a video plays backwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What one part of the strip shows: a picture uint8 [H, W, 3], or a video or folder of pictures.

    A video is over with its last picture, which stays; with `returns` it plays backwards then, forwards again, and so
    on, as a head pose does.
    """

    source: np.ndarray | Path
    returns: bool = False

    def play(self, height: int, fps: float, clock_fps: float) -> Iterator[np.ndarray]:
        """Pictures [height, W, 3] at `fps`, without end; a video that returns does so on a clock of `clock_fps`."""
        if isinstance(self.source, np.ndarray):
            return itertools.repeat(_to_height(self.source, height))
        if self.returns:
            return _retimed(_there_and_back(self.source, height, clock_fps), clock_fps, fps)
        return _once(self.source, height, fps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """Panels to the left and to the right of the result."""

    left: tuple[Panel, ...]
    right: tuple[Panel, ...]
    clock_fps: float

    def arrange(self, frames: Iterator[Frames], fps: float, first: int = 0) -> Iterator[Frames]:
        """The frames of the result, the first of which is number `first` at `fps`, with all panels at its height."""
        players: tuple[list[Iterator[np.ndarray]], ...] = ()
        for piece in frames:
            if not players:
                height = piece.rgb.shape[1]
                players = tuple(
                    [itertools.islice(panel.play(height, fps, self.clock_fps), first, None) for panel in panels]
                    for panels in (self.left, self.right)
                )
            left, right = ([[next(player) for player in side] for _ in piece.rgb] for side in players)
            rgb = [np.concatenate([*a, own, *b], axis=1) for a, own, b in zip(left, piece.rgb, right, strict=True)]
            mask = None
            if piece.mask is not None:
                widths = [sum(part.shape[1] for part in side[0]) for side in (left, right)]
                mask = np.pad(piece.mask, ((0, 0), (0, 0), (widths[0], widths[1])), constant_values=255)
            yield Frames(rgb=np.stack(rgb), mask=mask, start=piece.start)


def make_strip(
    face: Photo | Clip | Avatar, voice: object, *, drive: Photo | Clip | None, pose: str | Path | None, clock_fps: float
) -> Strip:
    """The strip of a job; panels that it has nothing for are left out.

    `face`: an avatar shows no reference. `pose`: the file that the head motion comes from, if it is one. `voice`: where
    the speech comes from; its pictures are the driving video unless `drive` is one. A video is shown once, whatever it
    is used for.
    """
    reference = _panel(face)
    posed = _panel(pose, returns=True)
    driving = next((panel for file in (drive, voice) if (panel := _panel(file))), None)
    if posed is not None and driving is not None and _same(posed.source, driving.source):
        posed = None
    right = tuple(panel for panel in (posed, driving) if panel is not None)
    return Strip(left=() if reference is None else (reference,), right=right, clock_fps=clock_fps)


def _panel(source: object, returns: bool = False) -> Panel | None:
    """The panel of a photo, video or folder of pictures; None for whatever shows nothing."""
    if isinstance(source, str | Path):
        path = existing_media(source)
        if path.suffix.lower() in (".csv", ".txt") or zipfile.is_zipfile(path) or is_avatar(path):
            return None
        source = pictures_in(path)
    if isinstance(source, Photo):
        return Panel(source=source.opaque())
    return Panel(source=source.path, returns=returns) if isinstance(source, Clip) else None


def _same(one: np.ndarray | Path, other: np.ndarray | Path) -> bool:
    """Whether both are one file."""
    return isinstance(one, Path) and isinstance(other, Path) and os.path.samefile(one, other)


def _once(path: Path, height: int, fps: float) -> Iterator[np.ndarray]:
    """The video's pictures, and then the last one for ever."""
    picture = None
    for picture in _pictures(path, height, fps):
        yield picture
    while picture is not None:
        yield picture


def _there_and_back(path: Path, height: int, fps: float) -> Iterator[np.ndarray]:
    """The video forwards, backwards, and so on, its ends shown once: the order of `core.motion.ping_pong`."""
    count = 0
    for picture in _pictures(path, height, fps):
        yield picture
        count += 1
    while True:
        if count == 1:
            yield from _pictures(path, height, fps)
            continue
        yield from _backwards(path, height, fps, count - 1)
        yield from itertools.islice(_pictures(path, height, fps), 1, count)


def _backwards(path: Path, height: int, fps: float, end: int) -> Iterator[np.ndarray]:
    """Pictures `end` - 1 to 0, decoded a few at a time: memory does not grow with the video."""
    while end > 0:
        start = max(0, end - _TURN_FRAMES)
        group = itertools.islice(_pictures(path, height, fps, frame_to_time(start, fps)), end - start)
        yield from reversed(list(group))
        end = start


def _retimed(pictures: Iterator[np.ndarray], clock_fps: float, fps: float) -> Iterator[np.ndarray]:
    """Pictures of one clock at the rate of another: always the newest."""
    place, picture = 0, next(pictures)
    for frame in itertools.count():
        wanted, _ = frame_position(frame, fps, clock_fps)
        for _ in range(wanted - place):
            picture = next(pictures)
        place = wanted
        yield picture


def _pictures(path: Path, height: int, fps: float, start_s: float = 0.0) -> Iterator[np.ndarray]:
    from talkingface.video.read import read_frames

    shown = made = None
    for frame in read_frames(path, start_s=start_s, fps=fps):
        if frame.rgb is not shown or made is None:  # a picture shown again is the same array
            shown, made = frame.rgb, _to_height(frame.rgb, height)
        yield made


def _to_height(picture: np.ndarray, height: int) -> np.ndarray:
    """The picture at the strip's height; the width follows, and is even, as video files require."""
    from talkingface.video.resize import shrink

    width = max(2, round(picture.shape[1] * height / picture.shape[0] / 2) * 2)
    return shrink(picture, (width, height))
