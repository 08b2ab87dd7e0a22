"""Video files written frame by frame: whole or absent, with their sound, and resumable when long."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np

from talkingface import __version__
from talkingface.core.cache import check_writable, final_path, output_error, temporary_path
from talkingface.core.errors import OutputError
from talkingface.core.timing import as_rate
from talkingface.core.types import Audio
from talkingface.video.output import Output, Plan, Synthetic, format_of
from talkingface.video.pieces import Pieces
from talkingface.video.sound import Sound

__all__ = ["Synthetic", "VideoWriter", "write_result"]


def write_result(
    path: str | Path,
    fps: float | Fraction,
    *,
    system: str,
    weights: str,
    size: tuple[int, int] | None = None,
    withheld: Mapping[str, str] | None = None,
    **options: Any,
) -> VideoWriter:
    """A `VideoWriter` for frames that `system` made with `weights`; the one place that marks a result as synthetic.

    `withheld`: what it goes without, with the reasons. What is real, or never leaves the program, is written by a
    `VideoWriter` itself.
    """
    made = Synthetic(tool_version=__version__, system=system, weights=weights, withheld=withheld or {})
    return VideoWriter(path, size, fps, synthetic=made, **options)


class VideoWriter:
    """Writes `.mp4`, `.mov`, `.mkv` (H.264, AAC), `.webm` (VP9, Opus), with `alpha` `.webm` or `.mov` (ProRes 4444).

    The file appears at `path` when the `with` block ends well; otherwise an earlier file there stays as it was. Odd
    sizes grow by one pixel. The sound (a file, streamed, or `Audio`) starts with the first frame and is cut where the
    last one ends.

    With `key`, a text that stands for all that the pictures depend on, a long job survives being killed: finished
    pieces of `segment_frames` frames lie in a hidden folder beside `path`, and the next writer with the same key finds
    them. It then starts with `frames_done` above zero, and `write` goes on from there. One writer with a key at a time
    works on a path; a second one raises UsageError.

    Args:
        path: the file to make; its suffix says which kind. A link is followed.
        size: (width, height) in pixels of the frames to come; None: that of the first.
        fps: frames per second; 29.97 means 30000/1001.
        sound: the sound of the result, or None.
        sound_track: which sound track of a file is used, 0 first; None: the default one.
        alpha: whether frames carry transparency.
        synthetic: what the metadata says about the origin (see `write_result`).
        sign: called with the finished file and the path that it will get, before it gets it; may change the file, and
            raises OutputError if it must not appear.
        quality: constant rate factor of H.264, 0 (best) to 51; VP9 is set to look alike.
        threads: of the encoder, 0 for as many as there are cores.
        key: see above.
        segment_frames: frames that a killed job can lose at most.
        keyframe_every: frames from one that can be decoded alone to the next, for files that are read in any order.

    Raises OutputError if the result cannot be written, InputError or SpeechError if the sound cannot be read.

    Example:
        with VideoWriter("out.mp4", (512, 512), 25, sound="hi.wav") as writer:
            for rgb in frames:
                writer.write(rgb)
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int] | None,
        fps: float | Fraction,
        *,
        sound: str | Path | Audio | None = None,
        sound_track: int | None = None,
        alpha: bool = False,
        synthetic: Synthetic | None = None,
        sign: Callable[[Path, Path], object] | None = None,
        quality: int = 18,
        threads: int = 0,
        key: str | None = None,
        segment_frames: int = 1500,
        keyframe_every: int | None = None,
    ) -> None:
        check_writable(path)
        self._path = final_path(path)
        self._plan = Plan(
            target=self._path,
            format=format_of(self._path, alpha, quality),
            fps=as_rate(fps),
            tags=synthetic.tags() if synthetic else {},
            threads=threads,
            keyframe_every=keyframe_every,
        )
        self._size, self._alpha = size, alpha
        self._source, self._sound_track = sound, sound_track
        self._sound = None if sound is None else Sound(sound, sound_track)
        self._segment_frames = segment_frames
        self._sign = sign
        self._output: Output | None = None
        self._pieces: Pieces | None = None
        if key is not None:
            # another encoder version may describe its stream in another header, so its pieces do not fit
            facts = (key, self._plan.format, self._plan.fps, sorted(av.library_versions.items()))
            self._pieces = Pieces(self._path, repr(facts))
        self._part = temporary_path(self._path) if self._pieces is None else self._pieces.part
        self.frames_done = 0 if self._pieces is None else self._pieces.num_frames()
        """Frames that an earlier, killed writer with the same key has finished."""
        self.num_frames = self.frames_done
        """Frames written so far, the earlier ones included."""

    def write(self, rgb: np.ndarray, alpha: np.ndarray | None = None) -> None:
        """Append a frame: uint8 [H, W, 3] and, for a writer with alpha, uint8 [H, W] (None: opaque)."""
        width, height = self._size = self._size or (rgb.shape[1], rgb.shape[0])
        if rgb.shape != (height, width, 3) or rgb.dtype != np.uint8:
            raise ValueError(f"a frame must be uint8 [{height}, {width}, 3], not {rgb.dtype} {list(rgb.shape)}")
        if alpha is not None and not self._alpha:
            raise ValueError("this writer was made without alpha")
        if self._output is None:
            # The first piece has the sound, so that a short job is finished when its piece is.
            self._output = Output(self._part, self._plan, self._sound if not self.num_frames else None)
        self._output.write(rgb, alpha)
        self.num_frames += 1
        if self._pieces is not None and self._output.num_frames == self._segment_frames:
            self._end_piece(self._pieces, self._output)

    def close(self) -> None:
        """Finish the file and put it in place. The `with` block does this."""
        try:
            if not self.num_frames:
                raise OutputError(f"{self._path} was not written: there is no frame to show")
            if self._pieces is None or (self._output is not None and self._output.num_frames == self.num_frames):
                self._finish()
            else:
                if self._output is not None:
                    self._end_piece(self._pieces, self._output)
                self._join(self._pieces)
        except BaseException:
            self.abort()
            raise
        if self._pieces is not None:
            self._pieces.close(remove=True)

    def abort(self) -> None:
        """Give up: nothing appears at the path. Finished pieces stay for the next writer with the same key."""
        if self._output is not None:
            self._output.abort()
            self._output = None
        if self._pieces is not None:
            self._pieces.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _finish(self) -> None:
        assert self._output is not None
        self._output.finish()
        if self._sign is not None:
            self._sign(self._part, self._path)
        with self._reported():
            os.replace(self._part, self._path)
        self._output = None

    def _end_piece(self, pieces: Pieces, output: Output) -> None:
        output.finish()
        pieces.keep_part(self.num_frames - output.num_frames, output.num_frames)
        self._output = None

    def _join(self, pieces: Pieces) -> None:
        """The finished pieces one after the other, with the sound from its beginning."""
        sound = None if self._source is None else Sound(self._source, self._sound_track)
        self._output = Output(self._part, self._plan, sound)
        for piece in pieces.files():
            self._output.copy(piece)
        self._finish()

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise output_error(self._path, error) from error
