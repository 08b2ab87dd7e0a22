"""Small media files made by PyAV itself, so that readers are not tested with our own writer only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

MILLISECOND = Fraction(1, 1000)


def numbered(index: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A grey picture whose level tells which frame it is: 16 + 4 x index."""
    return np.full((height, width, 3), 16 + 4 * index, np.uint8)


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[..., Path]:
    """Write frames at the given milliseconds, and optionally sound from `sound_ms` on."""

    def make(
        times_ms: Sequence[int],
        *,
        name: str = "clip.mp4",
        picture: Callable[[int], np.ndarray] = numbered,
        sound: np.ndarray | None = None,
        sound_ms: int = 0,
        options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as file:
            stream = file.add_stream("libx264", rate=1000, options={"crf": "1", "g": "10", **(options or {})})
            stream.height, stream.width = picture(0).shape[:2]
            stream.pix_fmt = "yuv420p"
            stream.time_base = stream.codec_context.time_base = MILLISECOND
            voice = None
            if sound is not None:
                voice = file.add_stream("pcm_s16le" if name.endswith("mkv") else "aac", rate=48000, layout="mono")
            packets: list[av.Packet] = []
            for index, time_ms in enumerate(times_ms):
                frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
                frame.pts, frame.time_base = time_ms, MILLISECOND
                packets += stream.encode(frame)
            for packet in packets + stream.encode(None):
                packet.duration = times_ms[1] - times_ms[0]  # the encoder would say one tick
                file.mux(packet)
            if voice is not None:
                frame = av.AudioFrame.from_ndarray(sound.astype(np.float32)[None], format="fltp", layout="mono")
                frame.sample_rate, frame.time_base = 48000, Fraction(1, 48000)
                frame.pts = sound_ms * 48
                file.mux(voice.encode(frame))
                file.mux(voice.encode(None))
        return path

    return make
