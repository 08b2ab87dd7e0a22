"""Where the parts of files joined by `cat` begin, in bytes."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from av.packet import Packet
from av.stream import Stream

_BACK_S = 0.25
"""Time stamps that go back by more start over; some muxers are a few frames out of order."""
_AHEAD_S = 10.0
"""Time stamps that leap ahead by more, in all tracks, belong to another recording."""


@dataclass(slots=True)
class Restarts:
    """Watches the packets of all tracks for time stamps that start over."""

    cuts: list[int] = field(default_factory=list)
    """Byte positions of the first packet after each restart."""
    _last_s: dict[int, float] = field(default_factory=dict)
    _reached_s: list[float] = field(default_factory=lambda: [0.0])
    _passed: dict[int, int] = field(default_factory=dict)

    def see(self, packet: Packet[Stream]) -> None:
        """Take the next packet of the file."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None or packet.time_base is None:
            return
        track, at = packet.stream.index, float(stamp * packet.time_base)
        last, passed = self._last_s.get(track), self._passed.get(track, 0)
        if last is not None and packet.pos is not None:
            ahead = at > last + _AHEAD_S and at > self._reached_s[passed] + _AHEAD_S
            if at < last - _BACK_S or ahead:
                self._restart(track, passed, packet.pos)
                passed += 1
                self._reached_s[passed] = at
        self._last_s[track] = at
        self._reached_s[passed] = max(self._reached_s[passed], at)

    def _restart(self, track: int, passed: int, position: int) -> None:
        self._passed[track] = passed + 1
        if passed == len(self.cuts):  # the first track in which this one shows
            self.cuts.append(position)
            self._reached_s.append(0.0)
        else:
            self.cuts[passed] = min(self.cuts[passed], position)


def part_starts(path: Path, kind: str, cuts: Sequence[int], track_ids: Iterable[int]) -> list[int]:
    """Where the parts of a file begin, the first at 0. `kind` is FFmpeg's name of the format, `cuts` see `Restarts`.

    The headers before a cut belong to what follows it; `track_ids` splits a transport stream's pictures and sound from
    them.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if kind == "mpegts":
            starts = [_ts_start(data, cut, set(track_ids)) for cut in cuts]
        elif kind in _MARKS:
            starts = [data.rfind(_MARKS[kind], 0, cut + 1) for cut in cuts]
        else:
            starts = []
        starts += _FINDERS[kind](data) if kind in _FINDERS else []
    return sorted({0, *(start for start in starts if start > 0)})


def _ogg_starts(data: mmap.mmap) -> list[int]:
    """A page that begins a track, after one that does not: there a new chain begins."""
    starts, at, in_header = [], 0, True
    while (at := data.find(b"OggS", at)) >= 0 and at + 27 <= len(data):
        begins = bool(data[at + 5] & 2)
        if begins and not in_header:
            starts.append(at)
        in_header = begins
        segments = data[at + 27 : at + 27 + data[at + 26]]
        at += 27 + len(segments) + sum(segments)
    return starts


def _riff_starts(data: mmap.mmap) -> list[int]:
    """Chunks of the first one's kind that follow it; long AVI files go on in chunks of another kind."""
    starts, at, kind = [], 0, data[8:12]
    while data[at : at + 4] == b"RIFF":
        if data[at + 8 : at + 12] == kind:
            starts.append(at)
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return starts


def _matroska_starts(data: mmap.mmap) -> list[int]:
    """Headers that stand right behind the end of a segment; one of unknown length, as browsers write, has none."""
    starts, at = [], 0
    while data[at : at + 4] == _MARKS["matroska,webm"]:
        starts.append(at)
        segment = _ebml_end(data, at)
        at = len(data) if segment is None else _ebml_end(data, segment) or len(data)
    return starts


def _ebml_end(data: mmap.mmap, at: int) -> int | None:
    """Where the EBML element at `at`, whose name has four bytes, ends; None: unknown."""
    first = int.from_bytes(data[at + 4 : at + 5], "big")
    length = 9 - first.bit_length()  # of the size, given by its leading zeros
    size = int.from_bytes(data[at + 4 : at + 4 + length], "big") & ((1 << 7 * length) - 1)
    return None if not first or size == (1 << 7 * length) - 1 else at + 4 + length + size


def _flv_starts(data: mmap.mmap) -> list[int]:
    return [found.start() for found in re.finditer(rb"FLV\x01[\x01\x04\x05]\0\0\0\x09\0\0\0\0", data)]


def _flac_starts(data: mmap.mmap) -> list[int]:
    return [found.start() for found in re.finditer(rb"fLaC[\x00\x80]\x00\x00\x22", data)]


def _ts_start(data: mmap.mmap, cut: int, track_ids: set[int]) -> int:
    """The cut, moved before the tables that describe what follows."""
    lead = 0 if data[cut] == 0x47 else 4  # discs put a time of four bytes before each packet
    size = lead + 188
    while cut >= size and data[cut - size + lead] == 0x47:
        high, low = data[cut - size + lead + 1 : cut - size + lead + 3]
        if (high & 0x1F) << 8 | low in track_ids:
            break
        cut -= size
    return cut


_MARKS = {"mpeg": b"\x00\x00\x01\xba", "matroska,webm": b"\x1a\x45\xdf\xa3"}
"""What a file of the kind begins with, and of this kind only."""
_FINDERS = {
    "ogg": _ogg_starts, "wav": _riff_starts, "avi": _riff_starts, "matroska,webm": _matroska_starts, "flv": _flv_starts,
    "flac": _flac_starts,
}  # fmt: skip
