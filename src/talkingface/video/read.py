"""Pictures out of any video that FFmpeg decodes, or folder of pictures: upright, sRGB, each with its exact time."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import av
import av.error
import numpy as np
from av.stream import Disposition

from talkingface.core.errors import InputError
from talkingface.core.timing import as_rate, frame_to_time, num_frames
from talkingface.core.types import VideoInfo
from talkingface.video import hdr
from talkingface.video.folder import PictureFolder, open_folder

_BT709, _BT601, _BT2020 = 1, 5, 9  # matrices as swscale numbers them
_MATRIX_OF_TAG = {1: _BT709, 5: _BT601, 6: _BT601, 9: _BT2020, 10: _BT2020}  # tags as in ITU-T H.273
_PROBED_PACKETS = 500
# from version 17 on PyAV converts in several threads; handing out one frame's rows takes longer than converting them
_ONE_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.partition(".")[0]) >= 17 else {}

_Timed = tuple[Callable[[], np.ndarray], float, float]


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One picture: `rgb` uint8 [H, W, 3], shown at `time_s` after the earliest start of any stream in the file."""

    rgb: np.ndarray
    time_s: float


def probe(path: str | Path) -> VideoInfo:
    """Describe a media file, or a folder of pictures. Raises InputError if it cannot be read.

    Example: `probe("clip.mp4").fps`
    """
    if Path(path).is_dir():
        return _folder_info(open_folder(path))
    with open_media(path) as container:
        stream = _pictures(container)
        has_audio = bool(container.streams.audio)
        length_s = (container.duration or 0) / av.time_base
        if stream is None:
            return VideoInfo(
                size=(0, 0),
                fps=Fraction(0),
                duration_s=length_s,
                num_frames=0,
                has_audio=has_audio,
                has_video=False,
                rotation_deg=0,
                variable_rate=False,
                hdr=False,
            )
        steps = _steps(container, stream)
        container.seek(0)
        first = next(_decoded(container, stream, _Losses()), None)
        if first is None:
            raise InputError(f"no frame of {path} can be decoded; the file is damaged")
        fps = stream.average_rate or stream.guessed_rate or (1 / (median(steps) * stream.time_base) if steps else 25)
        length_s = _picture_length_s(stream) or length_s
        view = _View(first, stream, None)
        return VideoInfo(
            size=view.shown_size,
            fps=as_rate(fps),
            duration_s=length_s,
            num_frames=stream.frames or num_frames(length_s, fps),
            has_audio=has_audio,
            has_video=True,
            rotation_deg=view.rotation_deg,
            variable_rate=_is_variable(steps),
            hdr=view.is_hdr,
        )


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


def picture_bytes(path: str | Path, end_s: float = math.inf) -> int:
    """Bytes of the compressed pictures shown before `end_s`; sound and container do not count. Raises InputError."""
    with open_media(path) as container:
        stream = _pictures(container)
        if stream is None:
            return 0
        zero = zero_s(container)
        packets = (packet for packet in container.demux(stream) if packet.pts is not None)
        return sum(packet.size for packet in packets if float(packet.pts * stream.time_base) - zero < end_s)


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
    container = open_media(path)
    stream = _pictures(container)
    if stream is None:
        container.close()
        raise InputError(f"{path} has no pictures; give a video or a photo")
    frames = _timed(container, stream, longest_px, start_s, lost)
    return _chosen(frames, fps, start_s, float(stream.time_base))


def _chosen(
    frames: Iterator[_Timed], fps: float | Fraction | None, start_s: float, tick_s: float
) -> Iterator[VideoFrame]:
    """The frames that `read_frames` gives; `tick_s`: see `_at_rate`."""
    if fps is None:
        return (VideoFrame(picture(), at) for picture, at, _ in frames if at >= start_s - 1e-6)
    return _at_rate(frames, as_rate(fps), start_s, tick_s)


def open_media(path: str | Path) -> av.container.InputContainer:
    """Open a media file for reading. Raises InputError with the reason if it cannot be."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is a folder; name a file" if path.is_dir() else f"there is no file {path}")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty")
    try:
        # files only: a playlist must not make us fetch anything
        return av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="ignore")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as sound or video; it may be damaged or of an unknown kind") from error


def zero_s(container: av.container.InputContainer) -> float:
    """The earliest start of any stream. A negative start is encoder padding, which decoders drop."""
    return max(container.start_time or 0, 0) / av.time_base


def _pictures(container: av.container.InputContainer) -> av.VideoStream | None:
    """The first stream of moving pictures; a record's cover is none."""
    streams = container.streams.video
    return next((s for s in streams if not s.disposition & Disposition.attached_pic), None)


def _steps(container: av.container.InputContainer, stream: av.VideoStream) -> list[int]:
    """Time between neighbouring frames at the beginning of the stream, in its time base."""
    try:
        packets = itertools.islice(container.demux(stream), _PROBED_PACKETS)
        times = sorted(p.pts for p in packets if p.pts is not None)
    except (av.error.FFmpegError, OSError):
        return []
    if len(times) >= _PROBED_PACKETS - 1:
        times = times[:-16]  # the newest may miss a neighbour that is stored after them
    return [b - a for a, b in itertools.pairwise(times) if b > a]


def _picture_length_s(stream: av.VideoStream) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    noted = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))  # Matroska by FFmpeg
    return int(noted[1]) * 3600 + int(noted[2]) * 60 + float(noted[3]) if noted else None


def _is_variable(steps: list[int]) -> bool:
    if not steps:
        return False
    middle = median(steps)
    return any(abs(step - middle) > max(0.2 * middle, 2) for step in steps)


class _Losses:
    """Counts what could not be decoded."""

    def __init__(self) -> None:
        self.packets = 0
        self.damaged_frames = 0
        self.missing_s = 0.0
        self.cut_short = False
        self._longest_step_s = math.inf

    def watch(self, kept: int, step_s: float) -> None:
        """Containers skip damage without a word; a step far beyond all earlier ones tells."""
        if kept > 5 and step_s > 2.5 * self._longest_step_s:
            self.missing_s += step_s - self._longest_step_s
        self._longest_step_s = step_s if kept == 1 else max(step_s, self._longest_step_s)

    def note(self, kept: int, until_s: float) -> str | None:
        """A sentence for the user, or None if nothing was lost."""
        parts = []
        if self.packets:
            parts.append(f"{self.packets} packets cannot be decoded")
        if self.damaged_frames:
            parts.append(f"{self.damaged_frames} frames are damaged")
        if self.missing_s:
            parts.append(f"{self.missing_s:.2f} s of pictures are missing")
        if self.cut_short:
            parts.append("the file breaks off")
        return f"{' and '.join(parts)}; {kept} frames up to {until_s:.2f} s are used" if parts else None


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream, losses: _Losses
) -> Iterator[av.VideoFrame]:
    stream.thread_type = "AUTO"
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.error.FFmpegError, OSError):
            losses.cut_short = True
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            losses.packets += 1
            continue
        losses.packets += bool(packet.is_corrupt)
        for frame in frames:
            losses.damaged_frames += bool(frame.is_corrupt)
            yield frame


class _View:
    """How the decoded frames of one stream become upright sRGB."""

    def __init__(self, first: av.VideoFrame, stream: av.VideoStream, longest_px: int | None) -> None:
        width, height = first.width, first.height
        aspect = stream.sample_aspect_ratio or Fraction(1)
        if aspect > 1:
            width = round(width * aspect)
        else:
            height = round(height / aspect)
        self.matrix = _display_matrix(first)
        turned = abs(self.matrix[0]) < abs(self.matrix[1])
        self.shown_size = (height, width) if turned else (width, height)
        if longest_px and max(width, height) > longest_px:
            scale = longest_px / max(width, height)
            width, height = max(1, round(width * scale)), max(1, round(height * scale))
        self.stored_size = (width, height)
        self.transfer = int(stream.codec_context.color_trc or 0)

    @property
    def is_hdr(self) -> bool:
        return self.transfer in (hdr.PQ, hdr.HLG)

    @property
    def rotation_deg(self) -> int:
        """Clockwise turn that brings the stored picture upright."""
        a, b, _, _ = self.matrix
        return round(float(np.degrees(np.arctan2(b, a)))) % 360

    def picture(self, frame: av.VideoFrame) -> np.ndarray:
        """uint8 [H, W, 3], C-contiguous."""
        width, height = self.stored_size
        matrix = _MATRIX_OF_TAG.get(int(frame.colorspace), _BT709 if frame.height >= 720 else _BT601)
        is_rgb = frame.format.is_rgb
        shrinks = width < frame.width or height < frame.height
        stored = frame.reformat(
            width,
            height,
            "rgb48le" if self.is_hdr else "rgb24",
            src_colorspace=None if is_rgb else matrix,
            dst_colorspace=None if is_rgb else _BT601,  # means nothing for RGB, but PyAV 16 skips equal ones
            interpolation="AREA" if shrinks else "BILINEAR",
            **_ONE_THREAD,
        ).to_ndarray()
        rgb = hdr.to_sdr(stored, self.transfer) if self.is_hdr else stored
        a, b, c, d = self.matrix
        if abs(a) < abs(b):
            rgb, a, d = rgb.transpose(1, 0, 2), c, b
        return np.ascontiguousarray(rgb[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _display_matrix(frame: av.VideoFrame) -> tuple[float, float, float, float]:
    """a, b, c, d of the track's matrix: shown x = a x + c y, shown y = b x + d y. Quarter turns and mirrors."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            values = np.frombuffer(bytes(data), dtype=np.int32) / 65536.0
            return values[0], values[1], values[3], values[4]
    return 1.0, 0.0, 0.0, 1.0


def _timed(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    longest_px: int | None,
    start_s: float,
    lost: list[str],
) -> Iterator[_Timed]:
    """Each frame as (what makes its picture, time, duration): a frame that is skipped costs no conversion."""
    losses, kept, at = _Losses(), 0, 0.0
    with container:
        zero = zero_s(container)
        step = float(1 / (stream.average_rate or stream.guessed_rate or 25))
        if start_s > 0:
            with contextlib.suppress(av.error.FFmpegError):  # a file that cannot seek is decoded from its beginning
                container.seek(int((start_s + zero) / stream.time_base), stream=stream)
        view = None
        for frame in _decoded(container, stream, losses):
            if view is None:
                view = _View(frame, stream, longest_px)
            before = at
            if frame.time is not None:
                at = frame.time - zero
            elif kept:
                at += step
            if kept:
                losses.watch(kept, at - before)
            kept += 1
            shown_s = float(frame.duration * frame.time_base) if frame.duration else step
            yield (lambda view=view, frame=frame: view.picture(frame)), at, shown_s
        note = losses.note(kept, at)
        if note:
            lost.append(note)
        if not kept:
            raise InputError(
                f"no frame of {Path(container.name).name} can be decoded; the file is damaged or too short"
            )


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
