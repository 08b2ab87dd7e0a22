"""Video files written frame by frame: whole or absent, with their sound, and resumable when long."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from talkingface.core.cache import check_writable, output_error
from talkingface.core.errors import OutputError
from talkingface.core.timing import as_rate
from talkingface.core.types import Audio
from talkingface.video.output import Output, Plan, Synthetic, format_of
from talkingface.video.sound import Sound

__all__ = ["Synthetic", "VideoWriter"]


class VideoWriter:
    """Writes `.mp4`, `.mov`, `.mkv` (H.264, AAC), `.webm` (VP9, Opus), with `alpha` `.webm` or `.mov` (ProRes 4444).

    The file appears at `path` when the `with` block ends well; otherwise an earlier file there stays as it was. Odd
    sizes grow by one pixel. The sound (a file, streamed, or `Audio`) starts with the first frame and is cut where the
    last one ends.

    With `key`, a text that stands for all that the pictures depend on, a long job survives being killed: finished
    pieces of `segment_frames` frames wait in a hidden folder beside `path`, and the next writer with the same key finds
    them. It then starts with `frames_done` above zero, and `write` goes on from there.

    Args:
        path: the file to make; its suffix says which kind.
        size: (width, height) in pixels of the frames to come.
        fps: frames per second; 29.97 means 30000/1001.
        sound: what is heard, or None.
        alpha: whether frames carry transparency.
        synthetic: what the metadata says about the origin; None only for what is not synthetic.
        quality: constant rate factor of H.264, 0 (best) to 51; VP9 is set to look alike.
        threads: of the encoder, 0 for as many as there are cores.
        key: see above.
        segment_frames: frames that a killed job can lose at most.
        keyframe_every: frames from one that can be decoded alone to the next, for files that are read in any order.

    Raises OutputError if the result cannot be written, InputError or SpeechError if the sound cannot be read.

    Example:
        with VideoWriter("out.mp4", (512, 512), 25, sound="hi.wav", synthetic=None) as writer:
            for rgb in frames:
                writer.write(rgb)
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        fps: float | Fraction,
        *,
        sound: str | Path | Audio | None = None,
        alpha: bool = False,
        synthetic: Synthetic | None,
        quality: int = 18,
        threads: int = 0,
        key: str | None = None,
        segment_frames: int = 1500,
        keyframe_every: int | None = None,
    ) -> None:
        self._path = Path(path)
        self._plan = Plan(
            target=self._path,
            format=format_of(self._path, alpha, quality),
            size=size,
            fps=as_rate(fps),
            tags=synthetic.tags() if synthetic else {},
            threads=threads,
            keyframe_every=keyframe_every,
        )
        check_writable(self._path)
        self._alpha = alpha
        self._source = sound
        self._sound = None if sound is None else Sound(sound)
        self._segment_frames = segment_frames
        self._output: Output | None = None
        self._folder = None if key is None else self._open_folder(key)
        self.frames_done = sum(_frames_in(piece) for piece in self._pieces())
        """Frames that an earlier, killed writer with the same key has finished."""
        self.num_frames = self.frames_done
        """Frames written so far, the earlier ones included."""

    def write(self, rgb: np.ndarray, alpha: np.ndarray | None = None) -> None:
        """Append a frame: uint8 [H, W, 3] and, for a writer with alpha, uint8 [H, W] (None: opaque)."""
        width, height = self._plan.size
        if rgb.shape != (height, width, 3) or rgb.dtype != np.uint8:
            raise ValueError(f"a frame must be uint8 [{height}, {width}, 3], not {rgb.dtype} {list(rgb.shape)}")
        if alpha is not None and not self._alpha:
            raise ValueError("this writer was made without alpha")
        if self._output is None:
            # The first piece has the sound, so that a short job is finished when its piece is.
            self._output = Output(self._part(), self._plan, self._sound if not self.num_frames else None)
        self._output.write(rgb, alpha)
        self.num_frames += 1
        if self._folder is not None and self._output.num_frames == self._segment_frames:
            self._end_piece(self._output)

    def close(self) -> None:
        """Finish the file and put it in place. The `with` block does this."""
        try:
            if not self.num_frames:
                raise OutputError(f"{self._path} was not written: there is no frame to show")
            if self._folder is None or (self._output is not None and self._output.num_frames == self.num_frames):
                self._finish(self._part())
            else:
                if self._output is not None:
                    self._end_piece(self._output)
                self._join()
        except BaseException:
            self.abort()
            raise
        self._remove_folder()

    def abort(self) -> None:
        """Give up: nothing appears at the path. Finished pieces stay for the next writer with the same key."""
        if self._output is not None:
            self._output.abort()
            self._output = None
        if not self._pieces():
            self._remove_folder()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _finish(self, part: Path) -> None:
        assert self._output is not None
        self._output.finish()
        with self._reported():
            os.replace(part, self._path)
        self._output = None

    def _end_piece(self, output: Output) -> None:
        output.finish()
        name = f"{self.num_frames - output.num_frames:09d}-{output.num_frames}{self._path.suffix.lower()}"
        with self._reported():
            os.replace(self._part(), self._part().with_name(name))
        self._output = None

    def _join(self) -> None:
        """The finished pieces one after the other, with the sound from its beginning."""
        sound = None if self._source is None else Sound(self._source)
        self._output = Output(self._part(), self._plan, sound)
        for piece in self._pieces():
            self._output.copy(piece)
        self._finish(self._part())

    def _part(self) -> Path:
        """Where the file that is being written lies: on the same disk as the target, so that it can be renamed."""
        if self._folder is not None:
            return self._folder / f"part{self._path.suffix.lower()}"
        return self._path.with_name(f".{self._path.stem}.talkingface-{os.getpid()}{self._path.suffix.lower()}")

    def _pieces(self) -> list[Path]:
        return [] if self._folder is None else sorted(self._folder.glob("[0-9]*-*"))

    def _open_folder(self, key: str) -> Path:
        """The work folder of this key; those of other keys for the same target are removed."""
        plan = self._plan
        # another encoder version may describe its stream in another header, so its pieces do not fit
        facts = (key, plan.format, plan.size, plan.fps, sorted(av.library_versions.items()))
        name = f".{self._path.name}.talkingface-"
        folder = self._path.with_name(name + hashlib.sha256(repr(facts).encode()).hexdigest()[:12])
        with self._reported():
            for other in self._path.parent.iterdir():
                if other.name.startswith(name) and other != folder and other.is_dir():
                    shutil.rmtree(other, ignore_errors=True)
            folder.mkdir(exist_ok=True)
            for part in folder.glob("part.*"):
                part.unlink()
        return folder

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise output_error(self._path, error) from error


def _frames_in(piece: Path) -> int:
    return int(piece.stem.split("-")[1])
