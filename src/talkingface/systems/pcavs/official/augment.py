"""Augmentation of the driving frames: other colours, proportions and sharpness than the identity frame has.

Only pose and mouth survive it, so nothing else can be in the non-identity code (paper, section 3.1). Everything is
drawn once a clip; the size of the blur alone once a frame. The ranges are those of the published code.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkingface.systems.pcavs.alignment.align import SIZE_PX

BLUR_SIZES = (3, 5, 7, 9)
_SHARPEN = np.array([[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """One draw: the changes to the frames of one clip.

    Colour: channels `channels[0]` to `channels[1]` - 1 times `factor`. Proportions: `narrow` squeezes sideways and
    stretches upwards by twice `reshape_px`, otherwise the reverse; `extra_px` of mirrored room a side. Perspective:
    corners `enlarge_px` beyond the picture move sideways by `perspective_px`. `blur_sizes`: the median's size for each
    frame, or empty: the frames are sharpened.
    """

    factor: float
    channels: tuple[int, int]
    narrow: bool
    reshape_px: int
    extra_px: int
    perspective_px: int
    enlarge_px: int
    blur_sizes: tuple[int, ...]

    def apply(self, frames: np.ndarray) -> np.ndarray:
        """Frames uint8 [T, 224, 224, 3] of the clip, changed; same shape. Raises ValueError for another one."""
        if frames.shape[1:] != (SIZE_PX, SIZE_PX, 3) or frames.dtype != np.uint8:
            raise ValueError(f"frames must be uint8 [T, {SIZE_PX}, {SIZE_PX}, 3], not {list(frames.shape)}")
        if self.blur_sizes and len(self.blur_sizes) != len(frames):
            raise ValueError(f"drawn for {len(self.blur_sizes)} frames, not {len(frames)}")
        frames = self.reshaped(self.coloured(frames))
        return blurred(frames, self.blur_sizes) if self.blur_sizes else sharpened(frames)

    def coloured(self, frames: np.ndarray) -> np.ndarray:
        """Some channels brighter or darker, cut off at both ends."""
        first, last = self.channels
        # cut off, not rounded, as published
        table = np.clip(np.arange(256) * self.factor, 0, 255).astype(np.uint8)
        changed = frames.copy()
        changed[..., first:last] = table[frames[..., first:last]]
        return changed

    def reshaped(self, frames: np.ndarray) -> np.ndarray:
        """Other proportions, seen from aside."""
        return np.stack([self._tilted(self._squeezed(frame)) for frame in frames])

    def perspective(self, side_px: int) -> np.ndarray:
        """The homography float64 [3, 3] that tilts a square picture of `side_px`."""
        p, e = self.perspective_px, self.enlarge_px
        far = side_px + e
        source = [(-e, -e), (-e, far), (far, -e), (far, far)]
        target = [(-e, -e), (-e + p, far), (far, -e), (far - p, far)]
        return cv2.getPerspectiveTransform(np.array(source, np.float32), np.array(target, np.float32))

    def _squeezed(self, frame: np.ndarray) -> np.ndarray:
        """The frame in its new proportions in a square of 224 + 2 `extra_px`."""
        less, more = SIZE_PX - 2 * self.reshape_px, SIZE_PX + 2 * self.reshape_px
        # the square keeps a margin, which the tilt that follows turns into view
        pad, cut = self.reshape_px + self.extra_px, self.reshape_px - self.extra_px
        keep = slice(cut, SIZE_PX + pad)
        if self.narrow:
            sized = cv2.resize(frame, (less, more), interpolation=cv2.INTER_LINEAR)
            return cv2.copyMakeBorder(sized, 0, 0, pad, pad, cv2.BORDER_REFLECT)[keep]
        sized = cv2.resize(frame, (more, less), interpolation=cv2.INTER_LINEAR)
        return cv2.copyMakeBorder(sized, pad, pad, 0, 0, cv2.BORDER_REFLECT)[:, keep]

    def _tilted(self, frame: np.ndarray) -> np.ndarray:
        size = SIZE_PX, SIZE_PX
        return cv2.warpPerspective(
            frame, self.perspective(len(frame)), size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )


def draw_augmentation(rng: np.random.Generator, num_frames: int) -> Augmentation:
    """Draw the changes to a clip of so many frames, from the published ranges."""
    first = int(rng.integers(0, 2))
    reshape_px = int(rng.integers(15, 25))
    blur = rng.choice(BLUR_SIZES, num_frames) if rng.integers(0, 2) else ()
    return Augmentation(
        factor=float(rng.uniform(0.3, 1.6)),
        channels=(first, int(rng.integers(first + 1, 4))),
        narrow=bool(rng.integers(0, 2)),
        reshape_px=reshape_px,
        extra_px=int(rng.integers(0, reshape_px // 2)),
        perspective_px=int(rng.choice((-1, 1)) * rng.integers(20, 30)),
        enlarge_px=int(rng.choice((-1, 1)) * rng.integers(20, 40)),
        blur_sizes=tuple(int(size) for size in blur),
    )


def blurred(frames: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Each frame of uint8 [T, H, W, 3] through a median filter of its own size."""
    return np.stack([cv2.medianBlur(frame, size) for frame, size in zip(frames, sizes, strict=True)])


def sharpened(frames: np.ndarray) -> np.ndarray:
    """Frames uint8 [T, H, W, 3] with edges stressed by a 3 x 3 filter."""
    return np.stack([cv2.filter2D(frame, -1, _SHARPEN) for frame in frames])
