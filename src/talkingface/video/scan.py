"""Facts from the packets of a media file, without decoding: lengths, numbers of frames, steps between them, restarts.

The whole file is gone through only where the header does not state the length, or FFmpeg would guess it, or the file
begins with a still picture.
"""

from __future__ import annotations

import itertools
import re
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from talkingface.core.errors import InputError
from talkingface.video.clock import Stamps
from talkingface.video.container import Part, kept_by_file, open_media, packets, picture_track, zero_s
from talkingface.video.joined import Restarts, part_starts
from talkingface.video.rates import frame_rate

_PROBED_PACKETS = 500
_NO_TIMESTAMPS = 0x80  # FFmpeg's AVFMT_NOTIMESTAMPS
_GUESSED_LENGTHS = frozenset(("aac", "ac3", "eac3", "mp3", "mpeg", "mpegts"))
"""Formats whose length FFmpeg takes from the bit rate, or from the last time stamp."""


@dataclass(slots=True)
class _Seen:
    """What the packets of a track say; seconds on the container's own clock."""

    count: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    last_duration_s: float = 0.0
    stated_s: float | None = None

    @classmethod
    def of(cls, stream: Stream) -> _Seen:
        """Nothing yet but what the header states."""
        noted = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))  # Matroska by FFmpeg
        if stream.duration and stream.time_base:
            return cls(stated_s=float(stream.duration * stream.time_base))
        return cls(stated_s=int(noted[1]) * 3600 + int(noted[2]) * 60 + float(noted[3]) if noted else None)

    def see(self, packet: Packet[Stream]) -> None:
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and packet.time_base is not None:
            at = float(stamp * packet.time_base)
            self.first_s = at if not self.count else min(at, self.first_s)
            if not self.count or at >= self.last_s:
                duration = packet.duration or 0
                if duration >= 1 << 31:  # FFmpeg's way to say that the end of the last packet is padding
                    duration -= 1 << 32
                self.last_s, self.last_duration_s = at, float(duration * packet.time_base)
        self.count += 1


@dataclass(slots=True)
class _Picture:
    """The picture track: what its header states, and what was seen of it."""

    index: int
    tick: Fraction
    stated_fps: list[Fraction | None]
    stated_frames: int
    reorders: bool
    seen: _Seen
    stamps: list[int] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    rises: bool = True

    @classmethod
    def of(cls, stream: VideoStream, seen: _Seen) -> _Picture:
        tick = stream.time_base or Fraction(1, av.time_base)
        rates = [stream.average_rate, stream.guessed_rate]
        return cls(stream.index, tick, rates, stream.frames, bool(stream.codec_context.has_b_frames), seen)

    def see(self, packet: Packet[Stream]) -> None:
        if packet.pts is not None:
            self.rises &= not self.stamps or packet.pts > self.stamps[-1]
            self.stamps.append(packet.pts)
        if packet.duration:
            self.durations.append(packet.duration)


@dataclass(slots=True)
class Scan:
    """What the packets of a part say, `through` all of it or from its beginning."""

    part: Part
    kind: str
    through: bool
    untimed: bool
    has_audio: bool
    zero_s: float
    stated_s: float
    picture: _Picture | None
    track_ids: list[int]
    tracks: dict[int, _Seen]
    cuts: list[int]

    @property
    def length_s(self) -> float:
        """Length of all tracks."""
        if not self.through:
            return self.stated_s
        ends = [seen.last_s + seen.last_duration_s for seen in self.tracks.values() if seen.count]
        measured_s = max(ends, default=0.0) - self.zero_s
        # the header counts the padding at the end; that of Ogg counts the padding at the beginning too
        early_s = min((seen.first_s for seen in self.tracks.values()), default=0.0) if self.kind == "ogg" else 0.0
        stated_s = self.stated_s + min(early_s, 0.0)
        return stated_s if abs(stated_s - measured_s) < 0.1 else measured_s

    @property
    def sound_s(self) -> float:
        """Length of the sound as far as the header or the packets state it, else of all tracks."""
        picture = None if self.picture is None else self.picture.index
        heard = [seen for index, seen in self.tracks.items() if index != picture]
        if self.through and picture is not None:
            return max((seen.last_s + seen.last_duration_s - self.zero_s for seen in heard), default=0.0)
        return max((seen.stated_s or 0.0 for seen in heard), default=0.0) or self.length_s

    @property
    def num_pictures(self) -> int:
        """Number of frames, 0 where neither the header states it nor the part was read through."""
        if self.picture is None:
            return 0
        return self.picture.seen.count if self.through else self.picture.stated_frames

    @property
    def stamps(self) -> Stamps:
        """What the picture's time stamps mean, judged by the packets. AVI stores times of decoding only."""
        assert self.picture is not None
        if self.untimed or not self.picture.stamps:
            return "none"
        return "sorted" if self.kind == "avi" and self.picture.reorders else "shown"

    @property
    def is_doubtful(self) -> bool:
        """Whether the stamps may be those of decoding: frames are handed over in another order, but the stamps rise."""
        return self.picture is not None and self.picture.rises and self.picture.reorders

    def steps(self) -> list[int]:
        """Time between neighbouring frames, in ticks of the picture track."""
        assert self.picture is not None
        if len(self.picture.stamps) < 2:
            return self.picture.durations
        times = sorted(self.picture.stamps)
        if not self.through and len(times) >= _PROBED_PACKETS - 1:
            times = times[:-16]  # the newest may miss a neighbour that is stored after them
        return [b - a for a, b in itertools.pairwise(times) if b > a]

    def starts_still(self) -> bool:
        """Whether the beginning is slower than the whole: what moves comes later."""
        if self.picture is None or not self.picture.stated_fps[0]:
            return False
        measured = frame_rate(self.steps(), self.picture.tick, [])
        return measured < 0.9 * min(self.picture.stated_fps[0], 120)


@kept_by_file(4)
def scan_file(path: Path) -> list[Scan]:
    """Every part of the file, with its place on the file's clock; those with nothing readable are left out.

    Kept while the file stays as it is. Raises InputError if it cannot be read.
    """
    whole = Part(path=path)
    first = _scan(whole, through=False)
    if not first.through and first.starts_still():
        first = _scan(whole, through=True)
    starts = part_starts(path, first.kind, first.cuts, first.track_ids)
    if len(starts) == 1:
        return [first]
    scans: list[Scan] = []
    begins_s = 0.0
    for start, end in itertools.zip_longest(starts, starts[1:]):
        with suppress(InputError):
            scan = _scan(Part(path=path, start=start, end=end, begins_s=begins_s), through=True)
            if scan.tracks:
                scans.append(scan)
                begins_s += scan.length_s
    return scans or [first]


def _scan(part: Part, through: bool) -> Scan:
    with open_media(part) as container:
        kind, stated_s = container.format.name, (container.duration or 0) / av.time_base
        through = through or not stated_s or kind in _GUESSED_LENGTHS
        pictures = picture_track(container)
        audible = container.streams.audio
        tracks = {stream.index: _Seen.of(stream) for stream in (*audible, *([pictures] if pictures else []))}
        picture = None if pictures is None else _Picture.of(pictures, tracks[pictures.index])
        restarts = Restarts()
        wanted = () if through else (pictures,) if pictures else None
        for packet in packets(container, *wanted) if wanted is not None else ():
            if packet.size and packet.stream.index in tracks:
                restarts.see(packet)
                tracks[packet.stream.index].see(packet)
                if picture is not None and packet.stream.index == picture.index:
                    picture.see(packet)
                    if not through and picture.seen.count == _PROBED_PACKETS:
                        break
        return Scan(
            part=part, kind=kind, through=through, untimed=bool(container.format.flags & _NO_TIMESTAMPS),
            has_audio=bool(audible), zero_s=zero_s(container), stated_s=stated_s, picture=picture,
            track_ids=[stream.id for stream in container.streams if stream.index in tracks], tracks=tracks,
            cuts=restarts.cuts,
        )  # fmt: skip
