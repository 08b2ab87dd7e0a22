"""One media file while it is written: containers and their codecs, the encoder, the sound beside it, the tags."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.error
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from talkingface.core.cache import output_error
from talkingface.core.errors import OutputError
from talkingface.core.timing import sample_of_frame
from talkingface.video.colour import to_even, to_frame
from talkingface.video.sound import RATE_HZ, Sound

_AVX512_SKX = 256  # CV_CPU_AVX512_SKX, which Python's cv2 does not name
_REORDER = 3  # frames by which decoding runs ahead of display; libx264's superfast needs 2
_CRF_BELOW = 0.7
"""By which the preset "superfast" looks like "veryfast", on which the scale of qualities is based."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthetic:
    """What the container says about its origin: tool version, system, weights; what was left out of it, and why."""

    tool_version: str
    system: str
    weights: str = ""
    withheld: Mapping[str, str] = field(default_factory=dict)

    def tags(self) -> dict[str, str]:
        """Metadata keys and values."""
        weights = f", weights {self.weights}" if self.weights else ""
        made_by = f"talkingface {self.tool_version}, system {self.system}{weights}"
        without = {f"no_{name}": reason for name, reason in self.withheld.items()}
        return {
            "comment": f"Synthetic video made by {made_by}",
            "synthetic_media": "true",
            "made_by": made_by,
            **without,
        }


@dataclass(frozen=True, slots=True)
class Format:
    """A container with the codecs and options that we use in it."""

    container: str
    codec: str
    pixels: str
    sound_codec: str
    codec_options: tuple[tuple[str, str], ...] = ()
    container_options: tuple[tuple[str, str], ...] = ()


def format_of(path: Path, alpha: bool, quality: int) -> Format:
    """The format that the suffix of `path` asks for. Raises OutputError for an unknown one, or one without alpha."""
    suffix = path.suffix.lower()
    x264 = (("preset", "superfast"), ("crf", f"{max(0.0, quality - _CRF_BELOW):g}"), ("x264-params", _x264_params()))
    # VP9 needs about eight more for the same look; constant quality, one pass, no reordering
    vp9 = (
        ("crf", str(quality + 8)),
        ("deadline", "realtime"),
        ("cpu-used", "7"),
        ("row-mt", "1"),
        ("lag-in-frames", "0"),
    )
    tagged = (("movflags", "+faststart+use_metadata_tags"),)
    if suffix == ".webm":
        return Format("webm", "libvpx-vp9", "yuva420p" if alpha else "yuv420p", "libopus", vp9)
    if suffix == ".mov" and alpha:
        prores = (("profile", "4"),)  # 4444; the encoder "prores_ks" gains 0.2 levels for three times the work
        return Format("mov", "prores_aw", "yuva444p10le", "pcm_s16le", prores, tagged)
    if suffix in (".mp4", ".mov", ".mkv") and alpha:
        raise OutputError(f"{path} cannot hold transparency; write .webm (VP9) or .mov (ProRes 4444)")
    if suffix in (".mp4", ".mov"):
        return Format(suffix[1:], "libx264", "yuv420p", "aac", x264, tagged)
    if suffix == ".mkv":
        return Format("matroska", "libx264", "yuv420p", "aac", x264)
    raise OutputError(f"cannot write {path}: the name must end in .mp4, .mov, .mkv or .webm")


def _x264_params() -> str:
    """What libx264 does other than by its preset.

    Macroblock trees with a look ahead, which the preset leaves out, save more bytes than they cost time; weighted
    prediction is for fades. AVX2 makes equal files of equal pictures: the AVX-512 code for macroblock trees (core 165)
    reads past its rows, into memory that nobody set, where the width is no multiple of 128: 320, 720 and 1080 pixels
    came out differently from run to run. AVX2 code takes as long and gives the same bits where both are steady.
    """
    steady = ":asm=avx2" if cv2.checkHardwareSupport(_AVX512_SKX) else ""
    return f"mbtree=1:rc-lookahead=10:weightp=0{steady}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that two pieces of one job share."""

    target: Path
    """The file asked for; errors name it."""
    format: Format
    fps: Fraction
    tags: dict[str, str]
    threads: int
    keyframe_every: int | None = None


class Output:
    """A file at `path` that is complete after `finish` and removed by `abort`; failures raise OutputError.

    Give frames to `write`, or the packets of finished pieces to `copy`; the sound is interleaved and ends with the
    picture.
    """

    def __init__(self, path: Path, plan: Plan, sound: Sound | None) -> None:
        self.num_frames = 0
        self._path, self._plan, self._sound = path, plan, sound
        self._picture: VideoStream | None = None
        self._voice: AudioStream | None = None
        self._encodes = False
        with self._reported():
            options = dict(plan.format.container_options)
            self._file = av.open(f"file:{path}", "w", format=plan.format.container, options=options)
        self._file.metadata.update(plan.tags)

    def write(self, rgb: np.ndarray, alpha: np.ndarray | None) -> None:
        """Encode the next frame."""
        rgb, alpha = to_even(rgb), None if alpha is None else to_even(alpha)
        with self._reported():
            if self._picture is None:
                self._picture = self._add_encoder(rgb.shape[1], rgb.shape[0])
                self._add_voice()
            frame = to_frame(rgb, alpha, self._plan.format.pixels)
            frame.pts, frame.time_base = self.num_frames, 1 / self._plan.fps
            self._file.mux(self._picture.encode(frame))
            self._extend()

    def copy(self, piece: Path) -> None:
        """Append the pictures of a finished piece without encoding them again."""
        with self._reported(), av.open(f"file:{piece}") as source:
            stream = source.streams.video[0]
            if self._picture is None:
                self._picture = self._file.add_stream_from_template(stream, opaque=True)
                self._add_voice()
            start, zero = self.num_frames, None
            reorder = _REORDER if self._plan.format.codec == "libx264" else 0
            for packet in source.demux(stream):
                if packet.pts is None:
                    continue  # the end mark
                zero = packet.pts if zero is None else zero  # a piece begins with its first frame
                shown = start + round((packet.pts - zero) * stream.time_base * self._plan.fps)
                packet.time_base = 1 / self._plan.fps
                packet.pts, packet.dts, packet.duration = shown, self.num_frames - reorder, 1
                packet.stream = self._picture
                self._file.mux(packet)
                self._extend()

    def finish(self) -> None:
        """Write what the encoders still hold and the index."""
        with self._reported():
            if self._picture is not None and self._encodes:
                self._file.mux(self._picture.encode(None))
            if self._voice is not None:
                self._file.mux(self._voice.encode(None))
            self._file.close()

    def abort(self) -> None:
        """Remove the file."""
        with contextlib.suppress(av.error.FFmpegError, OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    def _extend(self) -> None:
        """One frame more, and the sound up to its end."""
        self.num_frames += 1
        if self._voice is not None and self._sound is not None:
            for frame in self._sound.until(sample_of_frame(self.num_frames, self._plan.fps, RATE_HZ)):
                self._file.mux(self._voice.encode(frame))

    def _add_encoder(self, width: int, height: int) -> VideoStream:
        self._encodes = True
        fmt, fps = self._plan.format, self._plan.fps
        stream = cast(VideoStream, self._file.add_stream(fmt.codec, rate=fps, options=dict(fmt.codec_options)))
        stream.width, stream.height, stream.pix_fmt = width, height, fmt.pixels
        stream.time_base = 1 / fps
        context = stream.codec_context
        context.time_base = 1 / fps
        context.thread_count = self._plan.threads
        context.thread_type = "FRAME"
        context.color_primaries = context.color_trc = context.colorspace = 1  # BT.709
        context.color_range = 1  # limited
        if self._plan.keyframe_every is not None:
            context.gop_size = self._plan.keyframe_every
        if fmt.codec == "libvpx-vp9":
            context.bit_rate = 0  # leaves the quality constant
        return stream

    def _add_voice(self) -> None:
        if self._sound is None:
            return
        codec = self._plan.format.sound_codec
        options = {"aac_coder": "fast"} if codec == "aac" else {}  # saves 40 %; not audible at these bit rates
        added = self._file.add_stream(codec, rate=RATE_HZ, layout=self._sound.layout, options=options)
        stream = cast(AudioStream, added)
        if codec != "pcm_s16le":
            stream.bit_rate = 128_000 if self._sound.layout == "mono" else 192_000
        self._voice = stream

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            reason = OSError(getattr(error, "errno", None), getattr(error, "strerror", None) or str(error))
            raise output_error(self._plan.target, reason) from error
