"""Motion in motion: changing its clock, replacing its head pose, and keeping it in files."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from talkingface.core.arrays import save_arrays
from talkingface.core.errors import InputError, UsageError
from talkingface.core.timing import as_rate, frame_position, num_frames
from talkingface.core.types import Motion

_FORMAT_VERSION = 1
_ROWS = ("expression", "pose", "blink", "source")
_KEYS = {"format_version", "space", "fps", *_ROWS}
_MAX_BYTES = 1 << 30


def check_space(motion: Motion, space: str) -> Motion:
    """`motion` itself if it is in `space`; raises UsageError naming both spaces otherwise."""
    if motion.space != space:
        raise UsageError(
            f"this motion is in space {motion.space!r}, but the system renders {space!r}; use the system that made it"
        )
    return motion


def concatenate(motions: Iterable[Motion]) -> Motion:
    """One Motion from pieces that follow each other. Raises UsageError if there are none or they do not fit."""
    pieces = list(motions)
    if not pieces:
        raise UsageError("there is no motion: the input gave no frames")
    first = pieces[0]
    for piece in pieces:
        if (piece.space, piece.fps) != (first.space, first.fps):
            raise UsageError(
                f"motions of {first.space!r} at {first.fps:g} and {piece.space!r} at {piece.fps:g} fps do not join"
            )
    return replace(
        first,
        expression=np.concatenate([piece.expression for piece in pieces]),
        pose=_join([piece.pose for piece in pieces]),
        blink=_join([piece.blink for piece in pieces]),
        source=_join([piece.source for piece in pieces]),
    )


def _join(parts: list[np.ndarray | None]) -> np.ndarray | None:
    present = [part for part in parts if part is not None]
    return np.concatenate(present) if len(present) == len(parts) else None


def resample_motion(motions: Iterable[Motion], fps: float) -> Iterator[Motion]:
    """Interpolate a stream of motion linearly to the clock `fps`; the duration stays.

    Output frame k shows the motion at time k / fps; after the last input row that row is held. Pieces come out as soon
    as the rows around them are known. The result does not depend on how the input was split. The first piece must
    begin at frame 0.
    """
    previous: Motion | None = None  # the last row, not yet overtaken
    given = 0
    for piece in motions:
        if as_rate(piece.fps) == as_rate(fps):
            yield piece
            continue
        known = piece if previous is None else concatenate([previous, piece])
        last = known.start + len(known) - 1
        frames: list[tuple[int, float]] = []
        while (position := frame_position(given + len(frames), fps, piece.fps))[0] < last:
            frames.append(position)
        if frames:
            yield _interpolate(known, frames, fps, given)
            given += len(frames)
        previous = _rows(known, len(known) - 1, len(known))
    if previous is not None:
        end = num_frames((previous.start + 1) / as_rate(previous.fps), fps)
        if end > given:
            yield _interpolate(previous, [(previous.start, 0.0)] * (end - given), fps, given)


def _interpolate(known: Motion, frames: list[tuple[int, float]], fps: float, start: int) -> Motion:
    before = np.array([frame for frame, _ in frames]) - known.start
    after = np.minimum(before + 1, len(known) - 1)
    share = np.array([part for _, part in frames], np.float32)[:, None]

    def mix(rows: np.ndarray | None) -> np.ndarray | None:
        return None if rows is None else rows[before] * (1 - share) + rows[after] * share

    expression = known.expression[before] * (1 - share) + known.expression[after] * share
    return replace(
        known, expression=expression, pose=mix(known.pose), blink=mix(known.blink), source=mix(known.source), fps=fps,
        start=start,
    )  # fmt: skip


def _rows(motion: Motion, begin: int, end: int) -> Motion:
    def cut(rows: np.ndarray | None) -> np.ndarray | None:
        return None if rows is None else rows[begin:end]

    return replace(
        motion, expression=motion.expression[begin:end], pose=cut(motion.pose), blink=cut(motion.blink),
        source=cut(motion.source), start=motion.start + begin,
    )  # fmt: skip


def skip_frames(motions: Iterable[Motion], frames: int) -> Iterator[Motion]:
    """The stream without its first `frames` frames; `start` keeps counting from the true beginning."""
    for piece in motions:
        if piece.start >= frames:
            yield piece
        elif piece.start + len(piece) > frames:
            yield _rows(piece, frames - piece.start, len(piece))


def limit_frames(motions: Iterable[Motion], frames: int) -> Iterator[Motion]:
    """The stream up to frame `frames`."""
    for piece in motions:
        if piece.start + len(piece) >= frames:
            if piece.start < frames:
                yield _rows(piece, 0, frames - piece.start)
            return
        yield piece


def batches(motions: Iterable[Motion], size: int) -> Iterator[tuple[int, Motion]]:
    """Cut motion into (first frame, rows) of `size` frames, on multiples of `size` whatever the stream's split."""
    held: list[Motion] = []
    for piece in motions:
        begin = 0
        while begin < len(piece):
            end = min(len(piece), begin + size - (piece.start + begin) % size)
            held.append(_rows(piece, begin, end))
            begin = end
            if (piece.start + end) % size == 0:
                yield held[0].start, concatenate(held)
                held = []
    if held:
        yield held[0].start, concatenate(held)


def replace_pose(motions: Iterable[Motion], pose: np.ndarray | None) -> Iterator[Motion]:
    """Give each frame the head pose `pose` float32 [T, P]; past its end it plays backwards, then forwards again.

    None or an empty array: the rest pose (zeros). The clip's frame that the old pose came with is forgotten.
    """
    for piece in motions:
        if piece.pose is None:
            raise UsageError(f"motion in space {piece.space!r} has no head pose to replace; leave --pose out")
        if pose is None or not len(pose):
            yield replace(piece, pose=np.zeros_like(piece.pose), source=None)
            continue
        if pose.shape[1] != piece.pose.shape[1]:
            raise UsageError(
                f"the head pose has {pose.shape[1]} columns, motion in space {piece.space!r} has {piece.pose.shape[1]}"
            )
        index = ping_pong(np.arange(piece.start, piece.start + len(piece)), len(pose))
        yield replace(piece, pose=pose[index].astype(np.float32), source=None)


def ping_pong(frames: np.ndarray, length: int) -> np.ndarray:
    """Map frame numbers onto 0 .. length - 1, forwards, then backwards, and so on: 0 1 2 1 0 1 2 ..."""
    if length == 1:
        return np.zeros_like(frames)
    period = 2 * (length - 1)
    return (length - 1) - np.abs(frames % period - (length - 1))


def save_motion(path: str | Path, motion: Motion) -> None:
    """Write a Motion as an .npz file of plain arrays (no pickle). Raises OutputError if it cannot be written.

    Arrays: `expression` [T, E], and if present `pose` [T, P], `blink` and `source` [T, 1], all float32; scalars `fps`,
    `space`.
    """
    arrays = {name: getattr(motion, name) for name in _ROWS}
    given = {name: values for name, values in arrays.items() if values is not None}
    save_arrays(path, format_version=_FORMAT_VERSION, space=motion.space, fps=float(motion.fps), **given)


def load_motion(path: str | Path) -> Motion:
    """Read a Motion written by `save_motion` or edited since. Raises InputError saying what is wrong with the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MAX_BYTES:
                raise InputError(f"{path} unpacks to more than 1 GiB; it is not a motion file")
        with np.load(path, allow_pickle=False) as archive:
            unknown = set(archive.files) - _KEYS
            missing = {"space", "fps", "expression"} - set(archive.files)
            if unknown or missing:
                problem = f"has unknown arrays {sorted(unknown)}" if unknown else f"lacks {', '.join(sorted(missing))}"
                raise InputError(f"{path} {problem}; a motion file holds space, fps, {', '.join(_ROWS)}")
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise InputError(f"{path} is not a motion file (.npz written by talkingface motion): {error}") from error
    return _to_motion(arrays, path)


def _to_motion(arrays: dict[str, np.ndarray], path: str | Path) -> Motion:
    try:
        if int(arrays.get("format_version", _FORMAT_VERSION)) > _FORMAT_VERSION:
            raise InputError(f"{path} was written by a newer version; upgrade talkingface")
        rows = {name: arrays[name].astype(np.float32) for name in _ROWS if name in arrays}
        if not 1 <= float(arrays["fps"]) <= 1000:
            raise ValueError(f"fps is {arrays['fps']}")
        return Motion(
            space=str(arrays["space"]),
            fps=float(arrays["fps"]),
            expression=rows["expression"],
            pose=rows.get("pose"),
            blink=rows.get("blink"),
            source=rows.get("source"),
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} is not a usable motion file: {error}") from error
