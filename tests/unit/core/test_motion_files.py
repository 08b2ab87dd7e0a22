"""Motion from files and from Python: whatever cannot be a movement is one clear line before any work."""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from talkingface.core.errors import ArgumentError, InputError, UsageError
from talkingface.core.motion import (
    check_motion,
    concatenate,
    limit_frames,
    load_motion,
    resample_motion,
    save_motion,
    skip_frames,
)
from talkingface.core.motion_space import Columns, MotionSpace
from talkingface.core.types import Motion
from talkingface.face.mesh478_space import MESH478

LEARNED = MotionSpace(
    name="learned", expression=(Columns(unit="code", most=10),), pose=(Columns(unit="code", most=10),), blink=False
)


def _arrays(rows: int = 3, **changes: object) -> dict[str, np.ndarray]:
    """A motion file's arrays in space mesh478 as version 0.1 wrote them; a change of None leaves one out."""
    whole: dict[str, object] = {
        "format_version": 1, "space": "mesh478", "fps": 25.0, "expression": np.zeros((rows, 20), np.float32),
        "pose": np.zeros((rows, 6), np.float32), "blink": np.zeros((rows, 1), np.float32),
    }  # fmt: skip
    return {name: np.asarray(value) for name, value in (whole | changes).items() if value is not None}


def _load(folder: Path, **changes: object) -> Motion:
    np.savez(folder / "m.npz", **_arrays(**changes))  # type: ignore[arg-type]
    return load_motion(folder / "m.npz")


def _motion(**changes: object) -> Motion:
    whole = Motion(
        space="mesh478", expression=np.zeros((3, 20), np.float32), pose=np.zeros((3, 6), np.float32),
        blink=np.zeros((3, 1), np.float32), fps=25,
    )  # fmt: skip
    return replace(whole, **changes)


def test_files_of_the_version_before_and_edited_ones_load(tmp_path: Path) -> None:
    found = _load(tmp_path, expression=np.ones((3, 20), np.float64), blink=None)
    assert (found.space_version, found.expression.dtype, found.blink) == (1, np.float32, None)
    assert check_motion(found, MESH478) is found
    save_motion(tmp_path / "again.npz", replace(found, space_version=MESH478.version))
    again = load_motion(tmp_path / "again.npz")
    assert again.space_version == MESH478.version
    np.testing.assert_array_equal(again.expression, found.expression)
    assert _load(tmp_path, fps=30).fps == 30


def test_where_the_eyes_look_is_kept_joined_and_retimed(tmp_path: Path) -> None:
    gaze = np.linspace(0, 0.1, 6, dtype=np.float32).reshape(3, 2)
    motion = _motion(gaze=gaze)
    assert check_motion(motion, MESH478) is motion
    save_motion(tmp_path / "m.npz", motion)
    np.testing.assert_array_equal(load_motion(tmp_path / "m.npz").gaze, gaze)
    slower = concatenate(resample_motion([*limit_frames([motion], 1), *skip_frames([motion], 1)], 50)).gaze
    np.testing.assert_allclose(slower[:5:2], gaze, atol=1e-7)  # type: ignore[index]
    with pytest.raises(UsageError, match="gaze, which is not part of space 'learned'"):
        check_motion(replace(motion, space="learned", pose=None, blink=None), LEARNED)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"expression": None}, "lacks expression"),
        ({"extra": 1.0}, "unknown arrays"),
        ({"expression": np.full((3, 20), np.nan)}, "not finite"),
        ({"expression": np.full((3, 20), 1e300)}, "not finite"),
        ({"expression": np.zeros((3, 20), int)}, "floating-point"),
        ({"expression": np.zeros((3, 20), complex)}, "floating-point"),
        ({"expression": np.zeros((3, 20), bool)}, "floating-point"),
        ({"expression": np.zeros((3, 4, 5))}, r"\[rows, columns\]"),
        ({"expression": np.zeros(3)}, r"\[rows, columns\]"),
        ({"expression": np.array([["a"]])}, "floating-point"),
        ({"pose": np.zeros((2, 6))}, r"pose must be a float32 array \[3, any\]"),
        ({"blink": np.zeros((4, 1))}, r"blink must be a float32 array \[3, 1\]"),
        ({"blink": np.zeros((3, 2))}, r"blink must be a float32 array \[3, 1\]"),
        ({"gaze": np.zeros((3, 1))}, r"gaze must be a float32 array \[3, 2\]"),
        ({"source": np.zeros((3, 2))}, r"source must be a float32 array \[3, 1\]"),
        ({"fps": 0.0}, "fps must be between 1 and 1000"),
        ({"fps": np.nan}, "fps must be between"),
        ({"fps": np.zeros(4)}, "one fps"),
        ({"fps": "fast"}, "fps as a number"),
        ({"space": 3.0}, "space as text"),
        ({"space": np.array(["a", "b"])}, "one space"),
        ({"format_version": 9}, "newer version"),
        ({"space_version": 0}, "space_version must be between 1"),
    ],
)  # fmt: skip
def test_unusable_files_are_refused(tmp_path: Path, changes: dict, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as refused:
        _load(tmp_path, **changes)
    assert "m.npz" in str(refused.value) and "\n" not in str(refused.value)


def test_what_is_no_motion_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    np.savez(path, **_arrays(expression=np.array([[{}]], dtype=object)))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no plain array expression"):
        load_motion(path)
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(InputError, match="not a motion file"):
        load_motion(path)
    np.savez_compressed(path, **_arrays(rows=500))  # type: ignore[arg-type]
    path.write_bytes(path.read_bytes()[:-300] + bytes(300))
    with pytest.raises(InputError, match="not a motion file"):
        load_motion(path)
    with pytest.raises(InputError, match="there is no file"):
        load_motion(tmp_path / "missing.npz")


@pytest.mark.parametrize("shape", [(10**9, 20), (3, 10**9), (-1, 20)])
def test_arrays_that_claim_more_than_there_is_cost_nothing(tmp_path: Path, shape: tuple[int, int]) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        for name, array in _arrays(expression=None).items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
        archive.writestr("expression.npy", header.getvalue() + bytes(1000))
    with pytest.raises(InputError, match="no plain array expression"):
        load_motion(tmp_path / "m.npz")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"space": "other"}, "in space 'other', but the system renders 'mesh478'"),
        ({"space_version": 3}, "newer version"),
        ({"expression": np.zeros((3, 19), np.float32)}, "has 19 columns of expression, which has 20 in space"),
        ({"pose": np.zeros((3, 3), np.float32)}, "has 3 columns of pose, which has 6"),
        ({"expression": np.full((3, 20), 1e6, np.float32)}, "expression 'mouth 1' of 1e\\+06"),
        ({"expression": np.float32([[0] * 17 + [-101, 0, 0]] * 3)}, "expression 'brow 2' of -101"),
        ({"pose": np.float32([[0, 0, 0, 0, 200, 0]] * 3)}, "pose 'shift y' of 200 eye distances"),
        ({"pose": np.float32([[0, 0, 0, 0, 0, -11]] * 3)}, "pose 'size' of -11"),
        ({"blink": np.full((3, 1), -0.5, np.float32)}, "blink 'closure' of -0.5.*between 0 and 1"),
        ({"blink": np.full((3, 1), 2, np.float32)}, "blink 'closure' of 2"),
        ({"source": np.full((3, 1), -1, np.float32)}, "frames of the avatar's clip"),
        ({"source": np.full((3, 1), 1e9, np.float32)}, "frames of the avatar's clip"),
        (dict.fromkeys(("pose", "blink"), None) | {"expression": np.zeros((0, 20), np.float32)}, "no rows"),
    ],
)  # fmt: skip
def test_motion_that_a_system_cannot_draw_is_refused(changes: dict, problem: str) -> None:
    with pytest.raises(UsageError, match=f"^my.npz.*{problem}"):
        check_motion(_motion(**changes), MESH478, "my.npz")


def test_learned_codes_have_the_length_of_the_weights() -> None:
    motion = _motion(space="learned", blink=None)
    assert check_motion(motion, LEARNED) is motion and LEARNED.width("expression") is None
    exact = LEARNED.with_codes(expression=20, pose=12)
    with pytest.raises(UsageError, match="has 6 columns of pose, which has 12"):
        check_motion(motion, exact)
    with pytest.raises(UsageError, match="1 columns of blink, which is not part of space"):
        check_motion(_motion(space="learned"), LEARNED)
    with pytest.raises(UsageError, match="expression column 1 of 11"):
        check_motion(_motion(space="learned", blink=None, expression=np.full((3, 20), 11, np.float32)), LEARNED)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"expression": [[0.0] * 20] * 3}, "expression must be a float32 array .*not list"),
        ({"expression": np.zeros((3, 20))}, r"expression must be a float32 array .*not float64 \[3, 20\]"),
        ({"expression": np.zeros((3, 20), int)}, "not int64"),
        ({"expression": np.zeros((3, 20), complex)}, "not complex128"),
        ({"expression": np.zeros((3, 20), object)}, "not object"),
        ({"expression": np.zeros((3, 2, 10), np.float32)}, r"not float32 \[3, 2, 10\]"),
        ({"expression": np.broadcast_to(np.float32([0] * 20), (10**9, 20))}, "1000000000 rows"),
        ({"expression": np.full((3, 20), np.inf, np.float32)}, "not finite"),
        ({"pose": np.zeros((2, 6), np.float32)}, "pose must be a float32 array"),
        ({"blink": np.zeros((3, 2), np.float32)}, "blink must be a float32 array"),
        ({"fps": 0}, "fps must be between"),
        ({"fps": None}, "fps must be between"),
        ({"fps": float("nan")}, "fps must be between"),
        ({"start": -1}, "start must be between"),
        ({"space": ""}, "space must be the name"),
    ],
)  # fmt: skip
def test_motion_made_in_python_is_checked(changes: dict, problem: str) -> None:
    with pytest.raises(ArgumentError, match=problem):
        _motion(**changes)
