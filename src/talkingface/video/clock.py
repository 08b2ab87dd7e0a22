"""When each decoded frame is shown, and what was lost on the way."""

from __future__ import annotations

import heapq
import math
from typing import Literal

import av
from av.packet import Packet
from av.stream import Stream

Stamps = Literal["shown", "sorted", "none"]
"""What the time stamps of a track mean: when a frame is shown; the same, but handed to the wrong frames, or those of
decoding; or there are none, and frames are counted."""
RESTART_S = 1.0
"""Time stamps that go back by more start over within a part; by less they are out of order around damage."""
_HOLE_PACKETS = 100  # so long a hole may be behind the frame that follows it: decoders hold frames back
_MOST_HELD = 40  # frames: more than any codec holds back, so the rest came out as no frame


class Clock:
    """Gives each frame of a track its time in seconds; it must see the packets too."""

    def __init__(self, stamps: Stamps, kind: str, zero_s: float, begins_s: float, step_s: float) -> None:
        self._stamps, self._by_decoding = stamps, kind == "avi"
        self._is_sparse = kind == "mpeg"  # notes few times, and FFmpeg's guesses between those overlap
        self._zero_s, self._begins_s, self._step_s = zero_s, begins_s, step_s
        self._held: list[float] = []
        self._at_s: float | None = None

    def see(self, packet: Packet[Stream]) -> None:
        """Take the next packet that goes to the decoder."""
        at = self._stamp_s(packet)
        if at is not None:
            heapq.heappush(self._held, at)
            if len(self._held) > _MOST_HELD:
                heapq.heappop(self._held)

    def lose(self, packet: Packet[Stream]) -> None:
        """The packet gave no frame."""
        at = self._stamp_s(packet)
        if at is not None and at in self._held:
            self._held.remove(at)
            heapq.heapify(self._held)

    def time_s(self, frame: av.VideoFrame) -> float:
        """When `frame` is shown; they come in the order in which they are."""
        stamp = None
        if self._stamps == "shown":
            stamp = frame.time
        elif self._held:
            stamp = heapq.heappop(self._held)
        at = None if stamp is None else stamp - self._zero_s + self._begins_s
        last = self._at_s
        if at is not None and last is not None and at < last - RESTART_S:
            self._begins_s += last + self._step_s - at
            at = last + self._step_s
        if last is None:
            at = self._begins_s if at is None else at
        elif at is None or (at <= last and self._is_sparse):
            at = last + self._step_s
        self._at_s = at
        return at

    def _stamp_s(self, packet: Packet[Stream]) -> float | None:
        stamp = packet.dts if self._by_decoding else packet.pts
        if self._stamps != "sorted" or stamp is None or packet.time_base is None or not packet.size:
            return None
        return float(stamp * packet.time_base)


class Losses:
    """Counts what could not be decoded."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start again."""
        self.kept = 0
        self._packets = 0
        self._damaged_frames = 0
        self._missing_s = 0.0
        self._cut_short = False
        self._longest_step_s = math.inf
        self._last_s = 0.0
        self._packet_bytes = self._packets_seen = self._read_up_to = 0
        self._hole_bytes = self._hole_at = 0

    def see(self, packet: Packet[Stream]) -> None:
        """Take the next packet of the file: containers skip damage without a word, but it leaves a hole."""
        self._packet_bytes += packet.size
        self._packets_seen += 1
        if packet.pos is not None and packet.size:
            hole = packet.pos - self._read_up_to if self._read_up_to else 0
            if hole > self._hole_bytes or self._packets_seen > self._hole_at + _HOLE_PACKETS:
                self._hole_bytes, self._hole_at = hole, self._packets_seen
            self._read_up_to = max(self._read_up_to, packet.pos + packet.size)

    def lose(self) -> None:
        """A packet could not be decoded, or not wholly."""
        self._packets += 1

    def break_off(self) -> None:
        """The file ends in the middle."""
        self._cut_short = True

    def keep(self, frame: av.VideoFrame, at_s: float) -> None:
        """Take a frame: a step far beyond all earlier ones is damage where so many bytes are missing, else a still."""
        self._damaged_frames += bool(frame.is_corrupt)
        step_s = at_s - self._last_s
        if self.kept > 5 and step_s > 2.5 * self._longest_step_s:
            missing_bytes = self._packet_bytes / self._packets_seen * step_s / self._longest_step_s
            if self._packets or self._hole_bytes > 0.5 * missing_bytes:
                self._missing_s += step_s - self._longest_step_s
        if self.kept:
            self._longest_step_s = step_s if self.kept == 1 else max(step_s, self._longest_step_s)
        self._last_s = at_s
        self.kept += 1

    def note(self) -> str | None:
        """A sentence for the user, or None if nothing was lost."""
        parts = []
        if self._packets:
            parts.append(f"{self._packets} packets cannot be decoded")
        if self._damaged_frames:
            parts.append(f"{self._damaged_frames} frames are damaged")
        if self._missing_s:
            parts.append(f"{self._missing_s:.2f} s of pictures are missing")
        if self._cut_short:
            parts.append("the file breaks off")
        return f"{' and '.join(parts)}; {self.kept} frames up to {self._last_s:.2f} s are used" if parts else None
