"""Frames from a folder of numbered pictures: upright, sRGB, each with its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from talkingface.core.errors import InputError
from talkingface.core.picture_folder import counted_files, picture_files, picture_rate
from talkingface.core.timing import frame_to_time, time_to_frame
from talkingface.video.image import image_size, read_image
from talkingface.video.resize import shrink

_NAMED = 3
"""Unreadable pictures that a note names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFolder:
    """A folder of pictures: picture k of `files` is shown during [k / `fps`, (k + 1) / `fps`).

    Gaps in the numbering are no pauses. `size` is (width, height) of the first readable picture, upright; the others
    are brought to it.
    """

    path: Path
    files: tuple[Path, ...]
    fps: Fraction
    size: tuple[int, int]

    def check_shapes(self) -> None:
        """Raise InputError now if a picture is of another shape than the first one; only headers are read."""
        for file in self.files:
            size = image_size(file)
            if size is not None:
                self._check_shape(file, size)

    def timed(
        self, longest_px: int | None, start_s: float, lost: list[str]
    ) -> Iterator[tuple[Callable[[], np.ndarray], float, float]]:
        """Each picture from the one on screen at `start_s` on: (what gives it, time, duration). One is held at a time.

        An unreadable picture is skipped: the one before it stays on screen. A sentence about them goes to `lost`.
        """
        damaged: list[str] = []
        shown_s = float(1 / self.fps)
        first = self._readable_at(time_to_frame(max(start_s, 0.0), self.fps))
        for number in range(first, len(self.files)):
            rgb = self._read(self.files[number], longest_px)
            if rgb is None:
                damaged.append(self.files[number].name)
            else:
                yield (lambda rgb=rgb: rgb), frame_to_time(number, self.fps), shown_s
        if damaged:
            names = ", ".join(damaged[:_NAMED]) + (" ..." if len(damaged) > _NAMED else "")
            lost.append(f"{len(damaged)} of {len(self.files)} pictures cannot be read ({names}) and are skipped")

    def _readable_at(self, number: int) -> int:
        """The picture that is on screen when number `number` is due."""
        number = min(number, len(self.files) - 1)
        while number and self._read(self.files[number], None) is None:
            number -= 1
        return number

    def _read(self, file: Path, longest_px: int | None) -> np.ndarray | None:
        """uint8 [H, W, 3], or None if the picture cannot be read. Raises InputError for one of another shape."""
        try:
            rgb = read_image(file).opaque()
        except InputError:
            return None
        self._check_shape(file, (rgb.shape[1], rgb.shape[0]))
        width, height = self.size
        scale = min(1.0, (longest_px or max(width, height)) / max(width, height))
        fitted = shrink(rgb, (max(1, round(width * scale)), max(1, round(height * scale))))
        return np.require(fitted, requirements=("C", "W"))  # the receiver's own, as a video's frames are

    def _check_shape(self, file: Path, size: tuple[int, int]) -> None:
        (width, height), (wide, high) = self.size, size
        if abs(high - wide * height / width) > max(1.0, 0.01 * high):
            raise InputError(
                f"{file} is {wide} x {high} pixels, the pictures before it are {width} x {height}; "
                "the pictures of a folder must have one shape: crop them alike, or keep other pictures elsewhere"
            )


def open_folder(path: str | Path) -> PictureFolder:
    """The folder of pictures at `path`. Raises InputError if it holds none, none can be read, or `fps.txt` is wrong."""
    counted_files(path)
    files = tuple(picture_files(path))
    for file in files:
        try:
            rgb = read_image(file).rgb
        except InputError:
            continue
        size = (rgb.shape[1], rgb.shape[0])
        return PictureFolder(path=Path(path), files=files, fps=picture_rate(path), size=size)
    raise InputError(f"none of the pictures in {path} can be read; they are damaged or of an unknown kind")
