"""Facts about a media file, determined once: its parts, its rate, what its time stamps mean, whether it is interlaced.

Headers count only where they agree with the packets.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from talkingface.core.errors import InputError
from talkingface.core.timing import num_frames
from talkingface.core.types import VideoInfo
from talkingface.video.clock import Stamps
from talkingface.video.container import Part, kept_by_file, open_media, packets, picture_track
from talkingface.video.interlace import Fields, find_fields
from talkingface.video.rates import MOST_FPS, frame_rate, is_variable
from talkingface.video.scan import Scan, scan_file
from talkingface.video.upright import Upright

_DOUBTED_FRAMES = 8
_TELEVISION_LINES = frozenset((480, 486, 576, 1080, 1088))
_TELEVISION_RATES = frozenset((Fraction(25), Fraction(30000, 1001)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """How a file is to be read.

    `parts` follow each other (one for nearly all files). `stamps` and `fields` are those of the pictures: what their
    time stamps mean, and which field comes first where they are interlaced (None: they are not). `tick_s` is how finely
    the file notes times.
    """

    info: VideoInfo
    parts: tuple[Part, ...]
    tick_s: float = 0.0
    stamps: Stamps = "shown"
    fields: Fields | None = None


def survey(path: str | Path) -> Survey:
    """Find out about a media file; kept while the file stays as it is. Raises InputError if it cannot be read."""
    return _survey(Path(path))


@kept_by_file(64)
def _survey(path: Path) -> Survey:
    scans = scan_file(path)
    scan = next((scan for scan in scans if scan.picture is not None), None)
    has_audio = any(scan.has_audio for scan in scans)
    parts = tuple(scan.part for scan in scans)
    length_s = parts[-1].begins_s + scans[-1].length_s
    if scan is None or scan.picture is None:
        info = VideoInfo(
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
        return Survey(info=info, parts=parts)
    steps, picture = scan.steps(), scan.picture
    fps = frame_rate(steps, picture.tick, picture.stated_fps)
    seen = _look(scan.part, fps in _TELEVISION_RATES, _DOUBTED_FRAMES if scan.is_doubtful else 1)
    view, stamps = seen.view, scan.stamps
    if stamps == "shown" and seen.is_disordered:
        stamps = "sorted"
    elif stamps == "shown" and seen.fields is not None and len(seen.stamps) > 1:
        # the packets of interlaced pictures may hold one field each
        fps = frame_rate([b - a for a, b in itertools.pairwise(seen.stamps)], picture.tick, picture.stated_fps)
    info = VideoInfo(
        size=view.shown_size,
        fps=fps,
        duration_s=_pictures_s(scans, fps),
        num_frames=0,
        has_audio=has_audio,
        has_video=True,
        rotation_deg=view.rotation_deg,
        variable_rate=is_variable(steps),
        hdr=view.is_hdr,
    )
    known = sum(scan.num_pictures for scan in scans)
    info = replace(info, num_frames=known or num_frames(info.duration_s, fps))
    return Survey(info=info, parts=parts, tick_s=float(picture.tick), stamps=stamps, fields=seen.fields)


def _pictures_s(scans: list[Scan], fps: Fraction) -> float:
    """How long the pictures last."""
    first, last = (next(s for s in order if s.picture is not None) for order in (scans, reversed(scans)))
    assert first.picture is not None and last.picture is not None
    if len(scans) == 1 and not last.through:
        return last.picture.seen.stated_s or last.length_s
    if last.stamps == "none":
        return float(sum(scan.num_pictures for scan in scans) / fps)
    shown = last.picture.seen
    end_s = last.part.begins_s + shown.last_s + (shown.last_duration_s or float(1 / fps)) - last.zero_s
    span_s = end_s - (first.picture.seen.first_s - first.zero_s)
    if fps == MOST_FPS:  # and more
        return span_s
    return max(span_s, float(sum(scan.num_pictures for scan in scans) / fps))  # times that overlap, see `Clock`


@dataclass(frozen=True, slots=True)
class _Look:
    """What the first decoded frames show; `stamps` are theirs, in the order in which they come out."""

    view: Upright
    fields: Fields | None
    stamps: list[int]

    @property
    def is_disordered(self) -> bool:
        """Whether the stamps of decoding were handed to frames in another order."""
        return any(b <= a for a, b in itertools.pairwise(self.stamps))


def _look(part: Part, television: bool, least: int) -> _Look:
    """Decode the first frame, up to `least` if one is not enough, and more where they may be interlaced."""
    stamps: list[int] = []

    def frames(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        for packet in packets(container, stream):
            with suppress(av.error.FFmpegError):
                for frame in stream.decode(packet):
                    stamps.extend([] if frame.pts is None else [frame.pts])
                    yield frame

    with open_media(part) as container:
        stream = picture_track(container)
        assert stream is not None
        stream.thread_type = "AUTO"
        decoded = frames(container, stream)
        first = list(itertools.islice(decoded, least))
        if not first:
            raise InputError(f"no frame of {part.path} can be decoded; the file is damaged")
        suspected = television and first[0].height in _TELEVISION_LINES
        fields = find_fields(first[0], itertools.chain(first[1:], decoded), suspected)
        return _Look(Upright(first[0], stream), fields, stamps)
