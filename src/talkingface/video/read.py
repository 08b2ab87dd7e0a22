"""Pictures out of any video that FFmpeg decodes, or folder of pictures: upright, sRGB, each with its exact time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import numpy as np

from talkingface.core.errors import InputError
from talkingface.core.timing import as_rate, frame_to_time, num_frames
from talkingface.core.types import VideoInfo
from talkingface.video.clock import Clock, Losses
from talkingface.video.container import DEMUXER_ERRORS, Part, open_media, packets, picture_track, zero_s
from talkingface.video.folder import PictureFolder, open_folder
from talkingface.video.interlace import Deinterlacer
from talkingface.video.survey import Survey, survey
from talkingface.video.upright import Upright

_Timed = tuple[Callable[[], np.ndarray], float, float]


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One picture: `rgb` uint8 [H, W, 3], shown at `time_s` after the earliest start of any stream in the file."""

    rgb: np.ndarray
    time_s: float


def probe(path: str | Path) -> VideoInfo:
    """Describe a media file, or a folder of pictures. Raises InputError if it cannot be read.

    `fps` is measured: the typical step between frames where the picture moves, at most 120 a second. What headers state
    counts where it agrees with that.

    Example: `probe("clip.mp4").fps`
    """
    return _folder_info(open_folder(path)) if Path(path).is_dir() else survey(path).info


def _folder_info(folder: PictureFolder) -> VideoInfo:
    """What a folder of pictures holds. Raises InputError where their shapes differ: better now than midway."""
    folder.check_shapes()
    return VideoInfo(
        size=folder.size,
        fps=folder.fps,
        duration_s=frame_to_time(len(folder.files), folder.fps),
        num_frames=len(folder.files),
        has_audio=False,
        has_video=True,
        rotation_deg=0,
        variable_rate=False,
        hdr=False,
    )


def read_frames(
    path: str | Path,
    *,
    start_s: float = 0.0,
    fps: float | Fraction | None = None,
    longest_px: int | None = None,
    lost: list[str] | None = None,
) -> Iterator[VideoFrame]:
    """Frames one after the other: phone rotation applied, pixels square, HDR tone-mapped, memory flat.

    Without `fps` every source frame from `start_s` on comes with its own time. With `fps` frame k shows the source
    at `start_s` + k / `fps`: the newest source frame not later than that, the first one before the picture begins, the
    last one to the end of its display (a picture shown again is the same array). Pictures larger than `longest_px` are
    scaled down to it.

    Interlaced pictures are deinterlaced; the parts of a file that was joined from several follow each other.

    A folder of pictures is read in the order of their numbers, at 25 frames per second or what its `fps.txt` says
    (see `core.picture_folder`); transparent ones are laid over white, and all are brought to the size of the first.

    Parts that cannot be decoded are skipped, and a sentence about them is appended to `lost`. Raises InputError (at
    once for a missing, empty or unreadable file or one without pictures; at the first frame if none decodes; at a
    picture of another shape than the first of its folder).

    Example: `for frame in read_frames("clip.mp4", fps=25): show(frame.rgb, frame.time_s)`
    """
    lost = lost if lost is not None else []
    if Path(path).is_dir():
        return _chosen(open_folder(path).timed(longest_px, start_s, lost), fps, start_s, 0.0)
    found = survey(path)
    if not found.info.has_video:
        raise InputError(f"{path} has no pictures; give a video or a photo")
    return _explained(_chosen(_timed(found, longest_px, start_s, lost), fps, start_s, found.tick_s), path)


def _chosen(
    frames: Iterator[_Timed], fps: float | Fraction | None, start_s: float, tick_s: float
) -> Iterator[VideoFrame]:
    """The frames that `read_frames` gives; `tick_s`: see `_at_rate`."""
    if fps is None:
        return (VideoFrame(picture(), at) for picture, at, _ in frames if at >= start_s - 1e-6)
    return _at_rate(frames, as_rate(fps), start_s, tick_s)


def _explained(frames: Iterator[VideoFrame], path: str | Path) -> Iterator[VideoFrame]:
    try:
        yield from frames
    except DEMUXER_ERRORS as error:
        raise InputError(f"{path} cannot be decoded; convert it to MP4 first") from error


class _Decoded(NamedTuple):
    frame: av.VideoFrame
    view: Upright  # what it needs of the track, which is gone when the file is closed
    at_s: float
    shown_s: float


def _timed(found: Survey, longest_px: int | None, start_s: float, lost: list[str]) -> Iterator[_Timed]:
    """Each frame as (what makes its picture, time, duration): a frame that is skipped costs no conversion."""
    view = None
    for part, after in zip(found.parts, [*found.parts[1:], None], strict=True):
        if after is not None and after.begins_s <= start_s:
            continue
        losses = Losses()
        for frame, own, at, shown_s in _whole(_from(part, found, longest_px, start_s, losses), found):
            view = view or own  # all parts are brought to the size of the first
            yield (lambda view=view, frame=frame: view.picture(frame)), at, shown_s
        if note := losses.note():
            lost.append(note)
    if view is None:
        name = found.parts[0].path.name
        raise InputError(f"no frame of {name} can be decoded; the file is damaged or too short")


def _whole(frames: Iterator[_Decoded], found: Survey) -> Iterator[_Decoded]:
    """The frames, deinterlaced if they need it."""
    if found.fields is None:
        yield from frames
        return
    deinterlacer, waiting = Deinterlacer(found.fields), deque[_Decoded]()
    for decoded in frames:
        waiting.append(decoded)
        for frame in deinterlacer.push(decoded.frame):
            yield waiting.popleft()._replace(frame=frame)
    for frame in deinterlacer.flush():
        yield waiting.popleft()._replace(frame=frame)


def _from(part: Part, found: Survey, longest_px: int | None, start_s: float, losses: Losses) -> Iterator[_Decoded]:
    """Decoded frames of a part from the one on screen at `start_s` on, and often some before it.

    Where the file cannot seek, comes out later than asked, or frames get their times by counting, it is reopened and
    decoded from its beginning.
    """
    # a frame is deinterlaced from its neighbours
    wanted_s = start_s if found.fields is None else start_s - 2 / float(found.info.fps)
    if wanted_s > part.begins_s and found.stamps == "shown":
        frames = _decoded(part, found, longest_px, wanted_s, losses)
        first = next(frames, None)
        if first is not None and first.at_s <= wanted_s + 1e-6:
            yield first
            yield from frames
            return
        losses.forget()
    yield from _decoded(part, found, longest_px, None, losses)


def _decoded(
    part: Part, found: Survey, longest_px: int | None, seek_s: float | None, losses: Losses
) -> Iterator[_Decoded]:
    """Decoded frames from the key frame before `seek_s` on (None: from the beginning); none if it cannot be sought."""
    with open_media(part) as container:
        stream = picture_track(container)
        if stream is None or stream.time_base is None:
            return
        stream.thread_type = "AUTO"
        zero, tick, step_s = zero_s(container), stream.time_base, float(1 / found.info.fps)
        if seek_s is not None:
            try:
                container.seek(int((seek_s - part.begins_s + zero) / tick), stream=stream)
            except DEMUXER_ERRORS:
                return
        view = None
        clock = Clock(found.stamps, container.format.name, zero, part.begins_s, step_s)
        for packet in packets(container, on_break=losses.break_off):
            losses.see(packet)
            if packet.stream.index != stream.index:
                continue
            clock.see(packet)
            try:
                frames = stream.decode(packet)
            except av.error.FFmpegError:
                losses.lose()
                clock.lose(packet)
                continue
            if packet.is_corrupt:
                losses.lose()
            for frame in frames:
                at = clock.time_s(frame)
                losses.keep(frame, at)
                view = view or Upright(frame, stream, longest_px)
                yield _Decoded(frame, view, at, float(frame.duration * tick) if frame.duration else step_s)


def _at_rate(frames: Iterator[_Timed], fps: Fraction, start_s: float, tick_s: float) -> Iterator[VideoFrame]:
    """Resample to a constant rate. `tick_s` is how finely the container notes times: frames may be early by one."""
    early_s = min(tick_s, 0.25 / float(fps)) + 1e-6
    count, current, rgb, end_s = 0, None, None, 0.0
    for picture, at, shown_s in frames:
        due = num_frames(max(at - start_s - early_s, 0.0), fps)
        if current is not None:
            while count < due:
                rgb = current() if rgb is None else rgb
                yield VideoFrame(rgb, start_s + frame_to_time(count, fps))
                count += 1
        current, rgb, end_s = picture, None, at + shown_s
    total = num_frames(max(end_s - start_s - early_s, 0.0), fps)
    while current is not None and count < total:
        rgb = current() if rgb is None else rgb
        yield VideoFrame(rgb, start_s + frame_to_time(count, fps))
        count += 1
