"""Clips of numbered pictures in any container and codec, made by PyAV itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

WIDTH, HEIGHT, BITS = 128, 64, 8
H264 = {"g": "12", "crf": "10", "x264-params": "log-level=none"}


def striped(number: int) -> np.ndarray:
    """A picture whose bright stripes spell its number in binary; it survives any codec."""
    picture = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    for bit in range(BITS):
        if number >> bit & 1:
            picture[:, bit * WIDTH // BITS : (bit + 1) * WIDTH // BITS] = 210
    return picture


def numbers(frames: Iterable) -> list[int]:
    """Which of the striped pictures these frames are."""
    found = []
    for frame in frames:
        stripes = frame.rgb.reshape(frame.rgb.shape[0], BITS, -1, 3)[:, :, 2:-2].mean((0, 2, 3))
        found.append(sum(int(level > 125) << bit for bit, level in enumerate(stripes)))
    return found


def write_clip(
    path: Path,
    count: int = 40,
    *,
    codec: str = "libx264",
    fps: int | Fraction = 25,
    options: dict[str, str] | None = None,
    format: str | None = None,
    container_options: dict[str, str] | None = None,
    picture: Callable[[int], np.ndarray] = striped,
    sound: str | None = None,
    sound_hz: int = 48000,
    pitch_hz: float = 440.0,
) -> Path:
    """Encode `count` pictures, and a tone of the same length where `sound` names a codec."""
    with av.open(str(path), "w", format=format, options=container_options or {}) as file:
        shown = H264 if codec == "libx264" and options is None else options or {}
        stream = file.add_stream(codec, rate=Fraction(fps), options=shown)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = picture(0).shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        voice = file.add_stream(sound, rate=sound_hz, layout="mono") if sound else None
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = index, 1 / Fraction(fps)
            file.mux(stream.encode(frame))
            if isinstance(voice, AudioStream):
                begin, end = (int(at * sound_hz / Fraction(fps)) for at in (index, index + 1))
                file.mux(voice.encode(tone(begin, end, sound_hz, pitch_hz)))
        file.mux(stream.encode(None))
        if isinstance(voice, AudioStream):
            file.mux(voice.encode(None))
    return path


def tone(begin: int, end: int, rate_hz: int, pitch_hz: float) -> av.AudioFrame:
    """Samples `begin` to `end` of a tone."""
    wave = (0.3 * np.sin(2 * np.pi * pitch_hz * np.arange(begin, end) / rate_hz)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate_hz, begin, Fraction(1, rate_hz)
    return frame


def join(path: Path, *parts: Path) -> Path:
    """What `cat` makes of the parts."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path
