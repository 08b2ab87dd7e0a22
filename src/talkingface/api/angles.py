"""Head angles from a CSV, with columns by its header or in the documented order."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from talkingface.core.errors import InputError
from talkingface.core.registry import suggest
from talkingface.core.timing import as_rate, num_frames

ANGLES = ("yaw", "pitch", "roll")
_NAMES = {
    "time_s": "time", "time": "time", "frame": "frame",
    **{f"{name}{unit}": name for name in ANGLES for unit in ("", "_deg")},
}  # fmt: skip
_DELIMITERS = ",;\t"
_MOST_DEG = 3600.0
_MOST_S = 86_400.0


def read_angles(path: Path, clock_fps: float, frame_fps: float) -> np.ndarray:
    """Yaw, pitch, roll in radians, float32 [T, 3] at `clock_fps`, from a CSV of angles in degrees.

    A header names the columns, in any order: `time_s` or `time` in seconds or `frame` (of the result, which has
    `frame_fps`), and `yaw`, `pitch`, `roll`, of which some may be left out. Without a header they are time, yaw, pitch,
    roll. Times must rise; between them the angles are interpolated. Raises InputError naming the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(_DELIMITERS, key=first.count)
            lines = [(number, cells) for number, cells in enumerate(csv.reader(file, delimiter=delimiter), 1) if cells]
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8; save it as CSV UTF-8") from error
    except (OSError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    columns: Sequence[str] = ("time", *ANGLES)
    if lines and not all(map(_is_number, lines[0][1])):
        columns = _columns(path, lines.pop(0)[1])
    table = np.array([_numbers(path, number, cells, columns) for number, cells in lines], np.float64)
    if not len(table):
        raise InputError(f"{path} has no rows; give at least one, such as 0,0,10,0: time in seconds, yaw, pitch, roll")
    found = dict(zip(columns, table.T, strict=True))
    times = found["time"] if "time" in found else found["frame"] / float(as_rate(frame_fps))
    if (np.diff(times) <= 0).any() or times[0] < 0 or times[-1] > _MOST_S:
        raise InputError(f"the times in {path} must rise, from 0 or later to at most {_MOST_S:.0f} seconds")
    clock = np.arange(max(1, num_frames(times[-1], clock_fps))) / float(as_rate(clock_fps))
    angles = [np.interp(clock, times, found.get(name, np.zeros(len(times)))) for name in ANGLES]
    return np.deg2rad(np.stack(angles, axis=1)).astype(np.float32)


def _columns(path: Path, header: list[str]) -> list[str]:
    """What the columns of a header are. Raises InputError for unknown and missing ones."""
    columns = []
    for cell in header:
        name = cell.strip().lower()
        if name not in _NAMES:
            raise InputError(f"{path} has a column {cell.strip()!r}{suggest(name, _NAMES)}")
        columns.append(_NAMES[name])
    if len(set(columns)) < len(columns):
        raise InputError(f"{path} names a column twice: {', '.join(columns)}")
    if len({"time", "frame"} & set(columns)) != 1 or not set(ANGLES) & set(columns):
        raise InputError(f"{path} needs one column time_s or frame, and at least one of yaw, pitch, roll in degrees")
    return columns


def _numbers(path: Path, number: int, cells: list[str], columns: Sequence[str]) -> list[float]:
    if len(cells) != len(columns) or not all(map(_is_number, cells)):
        raise InputError(f"{path} line {number} is not {len(columns)} numbers: {', '.join(columns)}; angles in degrees")
    values = [float(cell) for cell in cells]
    if any(abs(value) > _MOST_DEG for value, name in zip(values, columns, strict=True) if name in ANGLES):
        raise InputError(f"{path} line {number} has an angle of more than {_MOST_DEG:g} degrees")
    return values


def _is_number(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False
