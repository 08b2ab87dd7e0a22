"""Finished pieces of a long video, stored beside it for the next run of a job that was stopped or killed."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from talkingface.core.cache import output_error
from talkingface.core.work_folder import WorkFolder, folder_beside


class Pieces:
    """The pieces of the video at `target`, in a hidden folder beside it that one writer at a time holds.

    `key` stands for all that the pieces depend on; those of other keys are removed. Raises UsageError if another run
    is making this video, OutputError.
    """

    def __init__(self, target: Path, key: str) -> None:
        self._target, self._suffix = target, target.suffix.lower()
        self._job = hashlib.sha256(key.encode()).hexdigest()[:12]
        self._work = WorkFolder(folder_beside(target), f"the video {target}")
        with self._reported():
            for file in self._work.files():
                if file.stem.partition("-")[0] != self._job:
                    file.unlink()

    @property
    def part(self) -> Path:
        """The path of the piece that is being written."""
        return self._work.path / f"part{self._suffix}"

    def files(self) -> list[Path]:
        """The finished pieces in their order."""
        return sorted(self._work.files(f"{self._job}-*"))

    def num_frames(self) -> int:
        """Frames in the finished pieces."""
        return sum(int(file.stem.rpartition("-")[2]) for file in self.files())

    def keep_part(self, start: int, count: int) -> None:
        """The part is finished: a piece of `count` frames from frame `start` on."""
        with self._reported():
            os.replace(self.part, self._work.path / f"{self._job}-{start:09d}-{count}{self._suffix}")

    def close(self, *, remove: bool = False) -> None:
        """Free the folder for other writers; `remove`: the video is whole, the pieces are not needed any more."""
        if remove:
            with contextlib.suppress(OSError):
                for file in self._work.files():
                    file.unlink()
        self._work.close()

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise output_error(self._target, error) from error
