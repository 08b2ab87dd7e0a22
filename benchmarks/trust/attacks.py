"""What happens to a video on its way: encoders, other sizes, rates, cuts and filters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

Frames = Iterable[np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A change of frames uint8 [H, W, 3] (one by one, or of all with their rate), and the encoder after it."""

    name: str
    change: Callable[[np.ndarray], np.ndarray] = np.asarray
    retime: Callable[[Frames, Fraction], tuple[Frames, Fraction]] | None = None
    codec: str = "libx264"
    crf: int = 23
    preset: str = "veryfast"
    times: int = 1

    def make(self, frames: Frames, fps: Fraction, path: Path) -> None:
        """Write the changed video to `path` (.mkv)."""
        frames = (self.change(rgb) for rgb in frames)
        if self.retime is not None:
            frames, fps = self.retime(frames, fps)
        encode(frames, fps, path, self)
        for _ in range(self.times - 1):
            encode(list(_decoded(path)), fps, path, self)


def encode(frames: Frames, fps: Fraction, path: Path, how: Attack) -> None:
    """Write frames to `path` (.mkv) with the encoder of an attack."""
    options = {"crf": str(how.crf)}
    if how.codec == "libvpx-vp9":
        options |= {"deadline": "realtime", "cpu-used": "7"}
    else:
        options |= {"preset": how.preset}
    if how.codec == "libx265":
        options |= {"x265-params": "log-level=error"}
    with av.open(str(path), "w") as file:
        stream = file.add_stream(how.codec, rate=fps, options=options)
        stream.pix_fmt = "yuv420p"
        if how.codec == "libvpx-vp9":
            stream.codec_context.bit_rate = 0  # leaves the quality constant
        for rgb in frames:
            rgb = rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
            if not stream.codec_context.is_open:
                stream.height, stream.width = rgb.shape[:2]
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")))
        file.mux(stream.encode(None))


def _decoded(path: Path) -> Iterator[np.ndarray]:
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def _scaled(across: float, down: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(rgb: np.ndarray) -> np.ndarray:
        size = (round(rgb.shape[1] * across), round(rgb.shape[0] * down))
        return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if across < 1 else cv2.INTER_LINEAR)

    return change


def _cropped(rgb: np.ndarray) -> np.ndarray:
    """A tenth less of each side, not the same above and below."""
    height, width = rgb.shape[:2]
    return rgb[round(0.04 * height) : round(0.94 * height), round(0.07 * width) : round(0.97 * width)]


def _turned(rgb: np.ndarray) -> np.ndarray:
    height, width = rgb.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 1.0, 1.0)
    return cv2.warpAffine(rgb, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def _narrow(rgb: np.ndarray) -> np.ndarray:
    """Three quarters of the longer side, from its middle: 4:3 of 16:9."""
    if rgb.shape[0] > rgb.shape[1]:
        return _narrow(rgb.transpose(1, 0, 2)).transpose(1, 0, 2)
    edge = rgb.shape[1] // 8
    return rgb[:, edge : rgb.shape[1] - edge]


def _noisy(rgb: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(int(rgb[::7, ::7].sum())).normal(0, 8, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


def _at(rate: int) -> Callable[[Frames, Fraction], tuple[Frames, Fraction]]:
    """The newest frame at each tick of another clock."""

    def retime(frames: Frames, fps: Fraction) -> tuple[Frames, Fraction]:
        held = list(frames)
        return [held[int(k * fps / rate)] for k in range(int(len(held) * rate / fps))], Fraction(rate)

    return retime


def _late(frames: Frames, fps: Fraction) -> tuple[Frames, Fraction]:
    return list(frames)[int(2 * fps) :], fps


ATTACKS = (
    *(Attack(name=f"x264 {p} CRF {crf}", crf=crf, preset=p) for p in ("veryfast", "medium") for crf in (23, 28, 33)),
    Attack(name="VP9 CRF 36", codec="libvpx-vp9", crf=36),
    Attack(name="HEVC CRF 28", codec="libx265", crf=28, preset="fast"),
    Attack(name="0.5x", change=_scaled(0.5, 0.5)),
    Attack(name="1.5x", change=_scaled(1.5, 1.5)),
    Attack(name="cropped by a tenth", change=_cropped),
    Attack(name="15 fps", retime=_at(15)),
    Attack(name="30 fps", retime=_at(30)),
    Attack(name="60 fps", retime=_at(60)),
    Attack(name="first 2 s cut off", retime=_late),
    Attack(name="brighter", change=lambda rgb: cv2.convertScaleAbs(rgb, alpha=1.0, beta=25)),
    Attack(name="less contrast", change=lambda rgb: cv2.convertScaleAbs(rgb, alpha=0.75, beta=32)),
    Attack(name="noise of 8 levels", change=_noisy),
    Attack(name="blur of 1 px", change=lambda rgb: cv2.GaussianBlur(rgb, (0, 0), 1.0)),
    Attack(name="turned by 1 degree", change=_turned),
    Attack(name="mirrored", change=lambda rgb: rgb[:, ::-1]),
    Attack(name="4:3 of 16:9, cropped", change=_narrow),
    Attack(name="4:3 of 16:9, squeezed", change=_scaled(0.75, 1.0)),
    Attack(name="encoded twice, CRF 28", crf=28, times=2),
)
