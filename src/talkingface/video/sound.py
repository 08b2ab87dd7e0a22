"""Sound tracks decoded and resampled: as driving speech, and as the sound of a video being written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import av.error
import av.filter
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from talkingface.core.errors import InputError, SpeechError
from talkingface.core.types import Audio
from talkingface.video.channels import mix
from talkingface.video.clock import RESTART_S
from talkingface.video.container import DEMUXER_ERRORS, open_media, packets, sound_track, zero_s
from talkingface.video.scan import scan_file

RATE_HZ = 48000
_COUNTED = frozenset(("aac", "ac3", "eac3", "mp3"))
"""Formats without time stamps: FFmpeg counts their frames."""

# Fill gaps and late starts with silence and cut overlaps, by timestamp. 15 ms is less than one lost packet of any codec
# and more than the rounding of container clocks. Only the first sample is placed more finely than that.
# rematrix_maxval: the mean of the channels, not a sum that clips.
_SETTINGS = "async=1:min_comp=0.00002:min_hard_comp=0.015:rematrix_maxval=1"


def decode_sound(path: Path, track: int | None) -> Iterator[av.AudioFrame]:
    """Decoded frames with `pts` counted from the file's zero; packets that do not decode leave a gap.

    `track`: see `container.sound_track`. The parts of a file that was joined from several follow each other, and may
    differ in rate and channels. Raises InputError, SpeechError.
    """
    scans = scan_file(path)
    has_video, end_s = any(scan.picture is not None for scan in scans), 0.0
    for part in (scan.part for scan in scans):
        with open_media(part) as container:
            if part is not scans[0].part and not container.streams.audio:
                continue
            stream = sound_track(container, path, track)
            stream.codec_context.thread_type = "AUTO"
            later_s, shift, tick_s, rate_hz = part.begins_s - zero_s(container), None, 0.0, 0
            # sound alone goes on without a gap, and so it does where FFmpeg counts at the rate of the first frame
            counted, follows = container.format.name in _COUNTED, end_s > 0 and not has_video
            for frame in _frames(container, stream):
                if frame.pts is not None and frame.time_base is not None:
                    if shift is None:
                        tick_s, rate_hz = float(frame.time_base), frame.sample_rate
                        shift = round(later_s / frame.time_base)
                    follows |= counted and frame.sample_rate != rate_hz
                    if follows or (frame.pts + shift) * tick_s < end_s - RESTART_S:
                        shift, follows = round(end_s / tick_s) - frame.pts, False
                    frame.pts += shift
                    end_s = frame.pts * tick_s + frame.samples / frame.sample_rate
                yield frame


def sound_length_s(path: str | Path) -> float:
    """About how long the sound of a file is, without decoding it. Raises InputError."""
    scans = scan_file(Path(path))
    return scans[-1].part.begins_s + scans[-1].sound_s


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame]:
    for packet in packets(container, stream):
        try:
            yield from stream.decode(packet)
        except av.error.FFmpegError:
            continue


class Resampler:
    """Brings frames to `rate_hz` and `layout` as float32 [C, n] pieces of any length.

    `signs` (1 or -1 for each channel) turns channels over before they are mixed. The frames may change their rate and
    channels midway.
    """

    def __init__(self, rate_hz: int, layout: str, signs: Sequence[int] = ()) -> None:
        self._rate_hz, self._layout, self._signs = rate_hz, layout, signs
        self._graph: av.filter.Graph | None = None
        self._kind: tuple[int, str, str, Fraction | None] | None = None
        self._given = 0

    def push(self, frame: av.AudioFrame | None) -> Iterator[np.ndarray]:
        """Take the next frame, None after the last; gives what is ready. Raises InputError if it cannot be used."""
        try:
            if frame is not None:
                kind = (frame.sample_rate, frame.format.name, frame.layout.name, frame.time_base)
                if kind != self._kind:
                    yield from self._run(None)
                    self._open(frame)
                    self._kind = kind
            yield from self._run(frame)
        except DEMUXER_ERRORS as error:
            raise InputError("the sound is of a kind that cannot be converted; convert it to WAV first") from error

    def _run(self, given: av.AudioFrame | None) -> Iterator[np.ndarray]:
        if self._graph is None:
            return
        self._graph.push(given)
        while True:
            try:
                frame = self._graph.pull()
                assert isinstance(frame, av.AudioFrame)
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            # interleaved: PyAV reads past its planes where there are more than 8
            piece = np.ascontiguousarray(frame.to_ndarray().reshape(-1, frame.layout.nb_channels).T)
            self._given += piece.shape[-1]
            yield piece

    def _open(self, frame: av.AudioFrame) -> None:
        """Set up from a decoded frame, because a container may state half the rate (HE-AAC)."""
        graph = av.filter.Graph()
        source = graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format.name,
            layout=frame.layout.name,
            time_base=frame.time_base,
        )
        nodes = [source]
        channels = frame.layout.nb_channels
        if channels > 2 and frame.layout.name == f"{channels} channels" and self._layout in ("mono", "stereo"):
            # FFmpeg would guess what each channel is, drop one as the bass, and refuse 9, 11 and most above
            signs = self._signs if len(self._signs) == channels else (1,) * channels
            mean = "".join(f"{sign / channels:+.9f}*c{at}" for at, sign in enumerate(signs))
            nodes.append(
                graph.add("pan", f"mono|c0={mean}" if self._layout == "mono" else f"stereo|c0={mean}|c1={mean}")
            )
        elif len(self._signs) == channels and min(self._signs) < 0:
            name = frame.layout.name if " " not in frame.layout.name else f"{channels}c"
            turned = "|".join(f"c{at}={sign}*c{at}" for at, sign in enumerate(self._signs))
            nodes.append(graph.add("pan", f"{name}|{turned}"))
        begins = round(Fraction(self._given * frame.sample_rate, self._rate_hz))  # counted at the rate that comes in
        settings = f"{self._rate_hz}:first_pts={begins}:{_SETTINGS}"
        nodes += [
            graph.add("aresample", f"{settings}:out_sample_fmt=flt:out_chlayout={self._layout}"),
            graph.add("aformat", f"sample_fmts=flt:channel_layouts={self._layout}"),
            graph.add("abuffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        self._graph = graph


class Sound:
    """The sound of a video being written, in blocks on demand; only what was asked for is decoded.

    `track`: which sound track of a file, see `container.sound_track`. Raises InputError for an unreadable file and
    SpeechError for one without sound, both at once.
    """

    def __init__(self, source: str | Path | Audio, track: int | None = None) -> None:
        frames = _of_audio(source) if isinstance(source, Audio) else decode_sound(Path(source), track)
        first = next(frames, None)
        if first is None:
            raise SpeechError(f"{source if not isinstance(source, Audio) else 'the sound'} holds no sound; give speech")
        self.layout = "mono" if first.layout.nb_channels == 1 else "stereo"
        resampler = Resampler(RATE_HZ, self.layout)
        self._blocks = (block for frame in chain([first], frames, [None]) for block in resampler.push(frame))
        self._held = np.zeros((first.layout.nb_channels, 0), np.float32)
        self._given = 0

    def until(self, sample: int) -> Iterator[av.AudioFrame]:
        """The frames from where the last call ended up to `sample`, or to the end of the sound if that is earlier."""
        while self._given < sample:
            if not self._held.shape[1]:
                block = next(self._blocks, None)
                if block is None:
                    return
                self._held = np.nan_to_num(block)
            piece = self._held[:, : sample - self._given]
            self._held = self._held[:, piece.shape[1] :]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout=self.layout)
            frame.sample_rate, frame.time_base, frame.pts = RATE_HZ, Fraction(1, RATE_HZ), self._given
            self._given += piece.shape[1]
            yield frame


def _of_audio(audio: Audio) -> Iterator[av.AudioFrame]:
    samples = audio.samples if len(audio.samples) <= 2 else mix(audio.samples)[None]
    for start in range(0, samples.shape[1], audio.rate_hz):
        piece = np.ascontiguousarray(samples[:, start : start + audio.rate_hz])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono" if len(piece) == 1 else "stereo")
        frame.sample_rate, frame.time_base, frame.pts = audio.rate_hz, Fraction(1, audio.rate_hz), start
        yield frame
