"""Operations on motion: another clock, another head pose, and motion files."""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from talkingface.core.arrays import save_arrays
from talkingface.core.errors import ArgumentError, InputError, UsageError
from talkingface.core.motion_space import Columns, MotionSpace
from talkingface.core.timing import as_rate, frame_position, num_frames
from talkingface.core.types import MAX_FRAMES, Motion

_FORMAT_VERSION = 3
_ROWS = ("expression", "pose", "blink", "gaze", "source")
_KEYS = {"format_version", "space", "space_version", "fps", *_ROWS}
_MAX_BYTES = 1 << 30
_UNREADABLE = (
    OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
_ROUNDING = 1e-3  # of the limits, for blinks that were resampled


def check_motion(motion: Motion, space: MotionSpace, name: str = "the motion") -> Motion:
    """`motion` itself if a system that renders `space` can draw it.

    Raises UsageError that begins with `name`: for another space, none or too many rows, columns that the space does not
    have, and values beyond what can be a movement.
    """
    if motion.space != space.name:
        raise UsageError(
            f"{name} is in space {motion.space!r}, but the system renders {space.name!r}; use the system that made it"
        )
    if motion.space_version > space.version:
        raise UsageError(f"{name} was made by a newer version of talkingface; upgrade it")
    if not len(motion):
        raise UsageError(f"{name} has no rows")
    for part in ("expression", "pose", "blink", "gaze"):
        rows, width = getattr(motion, part), space.width(part)
        if rows is None:
            continue
        if width is not None and rows.shape[1] != width:
            wanted = f"has {width} in" if width else "is not part of"
            raise UsageError(f"{name} has {rows.shape[1]} columns of {part}, which {wanted} space {space.name!r}")
        _check_values(rows, space.columns(part), part, name)
    if motion.source is not None and not 0 <= motion.source.min() <= motion.source.max() <= MAX_FRAMES:
        raise UsageError(f"{name} names frames of the avatar's clip (source) below 0 or above {MAX_FRAMES}")
    return motion


def _check_values(rows: np.ndarray, groups: tuple[Columns, ...], part: str, name: str) -> None:
    low, high = rows.min(axis=0), rows.max(axis=0)
    first = 0
    for group in groups:
        for column in range(first, first + len(group.names) if group.names else rows.shape[1]):
            least, slack = 0.0 if part == "blink" else -group.most, _ROUNDING * group.most
            value = high[column] if high[column] > group.most else low[column]
            if not least - slack <= value <= group.most + slack:
                label = f"{part} {group.names[column - first]!r}" if group.names else f"{part} column {column + 1}"
                raise UsageError(
                    f"{name} has {label} of {value:.4g} {group.unit}; it lies between {least:g} and {group.most:g}"
                )
        first += len(group.names)


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
        gaze=_join([piece.gaze for piece in pieces]),
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
        previous = cut_motion(known, len(known) - 1, len(known))
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
        known, expression=expression, pose=mix(known.pose), blink=mix(known.blink), gaze=mix(known.gaze),
        source=mix(known.source), fps=fps, start=start,
    )  # fmt: skip


def cut_motion(motion: Motion, begin: int, end: int) -> Motion:
    """Rows `begin` to `end` (not included); they remain the frames that they were."""

    def cut(rows: np.ndarray | None) -> np.ndarray | None:
        return None if rows is None else rows[begin:end]

    return replace(
        motion, expression=motion.expression[begin:end], pose=cut(motion.pose), blink=cut(motion.blink),
        gaze=cut(motion.gaze), source=cut(motion.source), start=motion.start + begin,
    )  # fmt: skip


def skip_frames(motions: Iterable[Motion], frames: int) -> Iterator[Motion]:
    """The stream without its first `frames` frames; `start` keeps counting from the true beginning."""
    for piece in motions:
        if piece.start >= frames:
            yield piece
        elif piece.start + len(piece) > frames:
            yield cut_motion(piece, frames - piece.start, len(piece))


def limit_frames(motions: Iterable[Motion], frames: int) -> Iterator[Motion]:
    """The stream up to frame `frames`."""
    for piece in motions:
        if piece.start + len(piece) >= frames:
            if piece.start < frames:
                yield cut_motion(piece, 0, frames - piece.start)
            return
        yield piece


def batches(motions: Iterable[Motion], size: int) -> Iterator[tuple[int, Motion]]:
    """Cut motion into (first frame, rows) of `size` frames, on multiples of `size` whatever the stream's split."""
    held: list[Motion] = []
    for piece in motions:
        begin = 0
        while begin < len(piece):
            end = min(len(piece), begin + size - (piece.start + begin) % size)
            held.append(cut_motion(piece, begin, end))
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


def follow_poses(motions: Iterable[Motion], pose: np.ndarray, pose_fps: float = 25.0) -> Iterator[Motion]:
    """Motion at any rate with the pose rows [T, P] of a clip at `pose_fps`: past its end backwards, then forwards."""
    for piece in motions:
        # in between, poses are mixed: at twice the rate every other picture would repeat the one before
        at = (piece.start + np.arange(len(piece))) * (pose_fps / piece.fps)
        before = at.astype(np.int64)
        share = (at - before)[:, None].astype(np.float32)
        rows = pose[ping_pong(before, len(pose))] * (1 - share) + pose[ping_pong(before + 1, len(pose))] * share
        yield replace(piece, pose=rows.astype(np.float32))


def save_motion(path: str | Path, motion: Motion) -> None:
    """Write a Motion as an .npz file of plain arrays (no pickle). Raises OutputError if it cannot be written.

    Arrays: `expression` [T, E], and if present `pose` [T, P], `blink` and `source` [T, 1], `gaze` [T, 2], all float32;
    scalars `fps`, `space`, `space_version`.
    """
    arrays = {name: getattr(motion, name) for name in _ROWS}
    given = {name: values for name, values in arrays.items() if values is not None}
    save_arrays(
        path, format_version=_FORMAT_VERSION, space=motion.space, space_version=motion.space_version,
        fps=float(motion.fps), **given,
    )  # fmt: skip


def load_motion(path: str | Path) -> Motion:
    """Read a Motion written by `save_motion` or edited since. Raises InputError saying what is wrong with the file.

    `check_motion` checks whether a system can draw it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = {entry.filename.removesuffix(".npy") for entry in archive.infolist()}
            if sum(entry.file_size for entry in archive.infolist()) > _MAX_BYTES:
                raise InputError(f"{path} unpacks to more than 1 GiB; it is not a motion file")
            unknown, missing = names - _KEYS, {"space", "fps", "expression"} - names
            if unknown or missing:
                problem = f"has unknown arrays {sorted(unknown)}" if unknown else f"lacks {', '.join(sorted(missing))}"
                raise InputError(f"{path} {problem}; a motion file holds space, fps, {', '.join(_ROWS)}")
            return _to_motion({name: _read_array(archive, name, path) for name in names}, path)
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    except ArgumentError as error:
        raise InputError(f"{path} is not a usable motion file: {error}") from error
    except _UNREADABLE as error:
        raise InputError(f"{path} is not a motion file (.npz written by talkingface motion): {error}") from error


def _read_array(archive: zipfile.ZipFile, name: str, path: str | Path) -> np.ndarray:
    """One array, whose header is looked at first: it may claim any size."""
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0}.get(version, np.lib.format.read_array_header_2_0)
        shape, _, dtype = read_header(file)
        if dtype.hasobject or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > entry.file_size:
            raise InputError(f"{path} holds no plain array {name}; write it with numpy.savez")
    if name in _ROWS and (dtype.kind != "f" or len(shape) != 2 or shape[0] > MAX_FRAMES):
        raise InputError(
            f"{path} must hold {name} as an array [rows, columns] of floating-point numbers with at most {MAX_FRAMES} "
            f"rows, not {dtype} {list(shape)}"
        )
    if name not in _ROWS and math.prod(shape) != 1:
        raise InputError(f"{path} must hold one {name}, not an array {list(shape)}")
    with archive.open(entry) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _to_motion(arrays: dict[str, np.ndarray], path: str | Path) -> Motion:
    number, text = {"fps": "iuf", "format_version": "iu", "space_version": "iu"}, arrays["space"]
    wrong = [name for name, kinds in number.items() if name in arrays and arrays[name].dtype.kind not in kinds]
    if wrong or text.dtype.kind != "U":
        raise InputError(f"{path} must hold {wrong[0] + ' as a number' if wrong else 'space as text'}")
    if arrays.get("format_version", np.array(1)).item() > _FORMAT_VERSION:
        raise InputError(f"{path} was written by a newer version; upgrade talkingface")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is refused
        rows = {name: arrays[name].astype(np.float32) for name in _ROWS if name in arrays}
    return Motion(
        space=str(text.item()),
        space_version=int(arrays.get("space_version", np.array(1)).item()),
        fps=float(arrays["fps"].item()),
        expression=rows["expression"],
        pose=rows.get("pose"),
        blink=rows.get("blink"),
        gaze=rows.get("gaze"),
        source=rows.get("source"),
    )
