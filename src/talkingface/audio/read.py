"""Sound from any file that FFmpeg decodes, as float32 at the rate asked for.

This is the only module outside `video` that imports PyAV: layers of one level do not import each other, and a sound
track is decoded by the same library whether its file has pictures or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import av.filter
import numpy as np

from talkingface.core.errors import InputError, SpeechError
from talkingface.core.types import Audio

MIN_SPEECH_S = 0.1

# Fill gaps and late starts with silence and cut overlaps, by timestamp. 15 ms is less than one lost packet of any codec
# and more than the rounding of container clocks. Only the first sample is placed more finely than that.
_BY_TIMESTAMP = "async=1:first_pts=0:min_comp=0.00002:min_hard_comp=0.015"


def read_audio(path: str | Path, rate_hz: int = 16000, *, mono: bool = True) -> Audio:
    """The whole sound of `path`: float32 [1, N] (or [C, N] with `mono=False`) at `rate_hz`.

    Sample 0 is the earliest start of any stream in the file, so sound and picture stay aligned. Raises InputError
    for a file that cannot be read, SpeechError for one without usable sound.

    Example: `read_audio("hi.wav").duration_s`
    """
    blocks = list(stream_audio(path, rate_hz, block=1 << 16, mono=mono))
    samples = np.concatenate(blocks, axis=-1)
    return Audio(samples=np.atleast_2d(samples), rate_hz=rate_hz)


def stream_audio(path: str | Path, rate_hz: int = 16000, block: int = 16000, mono: bool = True) -> Iterator[np.ndarray]:
    """The sound of `path` in pieces of `block` samples (the last may be shorter), with flat memory.

    Yields float32 [n] in [-1, 1], or [C, n] with `mono=False`. The pieces joined are the same for any `block`.
    Raises like `read_audio`, at the first piece where the fault shows.

    Example: `for piece in stream_audio("talk.mp4"): ...`
    """
    short = SpeechError(f"{path} holds almost no sound; give at least {MIN_SPEECH_S} s of speech")
    pending: list[np.ndarray] = []
    held, total = 0, 0
    for piece in _resampled(Path(path), rate_hz, mono):
        pending.append(piece)
        held, total = held + piece.shape[-1], total + piece.shape[-1]
        if held < block or total < MIN_SPEECH_S * rate_hz:
            continue
        joined = np.concatenate(pending, axis=-1)
        cut = held - held % block
        for start in range(0, cut, block):
            yield joined[..., start : start + block].copy()
        pending, held = [joined[..., cut:]], held - cut
    if total < MIN_SPEECH_S * rate_hz:
        raise short
    if held:
        yield np.concatenate(pending, axis=-1)


def _resampled(path: Path, rate_hz: int, mono: bool) -> Iterator[np.ndarray]:
    """Checked pieces of any length: float32 [n] or [C, n]."""
    graph: av.filter.Graph | None = None
    sound = _decoded(path)
    while True:
        frame = next(sound, None)
        if frame is None and graph is None:
            return
        if graph is None:
            graph = _graph(frame, rate_hz, mono)
        try:
            graph.push(frame)  # None: no more will come
        except av.error.FFmpegError as error:
            raise InputError(f"the sound of {path} changes its format midway; convert it to WAV first") from error
        while True:
            try:
                out = graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            samples = out.to_ndarray()
            if not np.isfinite(samples).all():
                raise SpeechError(f"{path} has samples that are not numbers (NaN or infinite); export the sound again")
            samples = np.clip(samples, -1.0, 1.0)
            yield samples[0] if mono else samples
        if frame is None:
            return


def _graph(frame: av.AudioFrame, rate_hz: int, mono: bool) -> av.filter.Graph:
    """A resampler set up from the first decoded frame, because a container may state half the rate (HE-AAC)."""
    graph = av.filter.Graph()
    layout = "mono" if mono else frame.layout.name
    # rematrix_maxval: the mean of the channels, not a sum that clips
    settings = f"{rate_hz}:{_BY_TIMESTAMP}:rematrix_maxval=1:out_sample_fmt=fltp:out_chlayout={layout}"
    nodes = [
        graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format.name,
            layout=frame.layout.name,
            time_base=frame.time_base,
        ),
        graph.add("aresample", settings),
        graph.add("aformat", f"sample_fmts=fltp:channel_layouts={layout}"),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    return graph


def _decoded(path: Path) -> Iterator[av.AudioFrame]:
    """Decoded frames with `pts` counted from the container's zero; packets that do not decode leave a gap."""
    if not path.is_file():
        raise InputError(f"{path} is a folder; name a file" if path.is_dir() else f"there is no file {path}")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty")
    try:
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="ignore")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as sound or video; it may be damaged or of an unknown kind") from error
    with container:
        if not container.streams.audio:
            raise SpeechError(f"{path} has no sound track; give a file with speech in it")
        stream = container.streams.audio[0]
        stream.thread_type = "AUTO"
        # a negative start is encoder padding, which the decoder drops
        zero_s = max(container.start_time or 0, 0) / av.time_base
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.FFmpegError, OSError):
                return  # cut off here; what came before is kept
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            for frame in frames:
                if frame.pts is not None:
                    frame.pts -= round(zero_s / frame.time_base)
                yield frame
