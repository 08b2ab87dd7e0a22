"""The sound of a video being written: any file or `Audio`, streamed as 48 kHz into the encoder."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.filter
import numpy as np

from talkingface.core.errors import InputError, SpeechError
from talkingface.core.types import Audio
from talkingface.video.read import open_media, zero_s

RATE_HZ = 48000

# The same treatment of gaps and late starts as when the speech is read, so that what drove the mouth is what is heard.
_SETTINGS = f"{RATE_HZ}:async=1:first_pts=0:min_comp=0.00002:min_hard_comp=0.015:rematrix_maxval=1"


class Sound:
    """Blocks of sound on demand; only what was asked for is decoded.

    Raises InputError for an unreadable file and SpeechError for one without sound, both at once.
    """

    def __init__(self, source: str | Path | Audio) -> None:
        frames = _of_audio(source) if isinstance(source, Audio) else _of_file(Path(source))
        first = next(frames, None)
        if first is None:
            raise SpeechError(f"{source if not isinstance(source, Audio) else 'the sound'} holds no sound; give speech")
        self.layout = "mono" if first.layout.nb_channels == 1 else "stereo"
        self._blocks = _at_48k(first, frames, self.layout)
        self._held = np.zeros((first.layout.nb_channels, 0), np.float32)
        self._given = 0

    def until(self, sample: int) -> Iterator[av.AudioFrame]:
        """The frames from where the last call ended up to `sample`, or to the end of the sound if that is earlier."""
        while self._given < sample:
            if not self._held.shape[1]:
                block = next(self._blocks, None)
                if block is None:
                    return
                self._held = block
            piece = self._held[:, : sample - self._given]
            self._held = self._held[:, piece.shape[1] :]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout=self.layout)
            frame.sample_rate, frame.time_base, frame.pts = RATE_HZ, Fraction(1, RATE_HZ), self._given
            self._given += piece.shape[1]
            yield frame


def _of_audio(audio: Audio) -> Iterator[av.AudioFrame]:
    samples = audio.samples if len(audio.samples) <= 2 else audio.samples.mean(axis=0, keepdims=True)
    for start in range(0, samples.shape[1], audio.rate_hz):
        piece = np.ascontiguousarray(samples[:, start : start + audio.rate_hz])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono" if len(piece) == 1 else "stereo")
        frame.sample_rate, frame.time_base, frame.pts = audio.rate_hz, Fraction(1, audio.rate_hz), start
        yield frame


def _of_file(path: Path) -> Iterator[av.AudioFrame]:
    with open_media(path) as container:
        if not container.streams.audio:
            raise SpeechError(f"{path} has no sound track; give a file with speech in it")
        zero = zero_s(container)
        packets = container.demux(container.streams.audio[0])
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.FFmpegError, OSError):
                return  # the end, or cut off here: what came before is kept
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue  # the gap is filled with silence
            for frame in frames:
                if frame.pts is not None:
                    frame.pts -= round(zero / frame.time_base)
                yield frame


def _at_48k(first: av.AudioFrame, rest: Iterator[av.AudioFrame], layout: str) -> Iterator[np.ndarray]:
    """float32 [C, n] blocks of any length."""
    graph = av.filter.Graph()
    nodes = [
        graph.add_abuffer(
            sample_rate=first.sample_rate, format=first.format.name, layout=first.layout.name, time_base=first.time_base
        ),
        graph.add("aresample", f"{_SETTINGS}:out_sample_fmt=fltp:out_chlayout={layout}"),
        graph.add("aformat", f"sample_fmts=fltp:channel_layouts={layout}"),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    frame: av.AudioFrame | None = first
    while True:
        try:
            graph.push(frame)  # None: no more will come
        except av.error.FFmpegError as error:
            raise InputError("the sound changes its format midway; convert it to WAV first") from error
        while True:
            try:
                yield np.nan_to_num(graph.pull().to_ndarray())
            except (av.error.BlockingIOError, av.error.EOFError):
                break
        if frame is None:
            return
        frame = next(rest, None)
