"""Head angles from a CSV: by header in any order, without one in the documented order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talkingface.api.angles import read_angles
from talkingface.core.errors import InputError


def _degrees(folder: Path, text: str, frame_fps: float = 25.0) -> np.ndarray:
    (folder / "p.csv").write_text(text)
    return np.degrees(read_angles(folder / "p.csv", 25.0, frame_fps))


@pytest.mark.parametrize(
    "text",
    [
        "0,0,0,0\n1,30,-10,5\n",
        "time_s,yaw,pitch,roll\n0,0,0,0\n1,30,-10,5\n",
        "Roll, Pitch ,yaw,TIME\n0,0,0,0\n5,-10,30,1\n",
        "frame;pitch_deg;yaw_deg;roll\n0;0;0;0\n25;-10;30;5\n",
    ],
)
def test_columns_are_found_by_their_header(tmp_path: Path, text: str) -> None:
    expected = np.arange(25)[:, None] / 25 * [30, -10, 5]
    np.testing.assert_allclose(_degrees(tmp_path, text), expected, atol=1e-4)


def test_frames_are_those_of_the_result(tmp_path: Path) -> None:
    found = _degrees(tmp_path, "frame,yaw\n0,0\n60,60\n", frame_fps=60.0)
    assert len(found) == 25  # one second, on the clock of the motion
    np.testing.assert_allclose(found[:, 0], 60 * np.arange(25) / 25, atol=1e-4)
    assert not found[:, 1:].any()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no rows"),
        ("time_s,yaw,pitch,roll\n", "no rows"),
        ("a,b,c,d\n0,0,0,0\n", "column 'a'"),
        ("time_s,yaww\n0,0\n", "did you mean yaw"),
        ("yaw,pitch\n0,0\n", "time_s or frame"),
        ("time_s\n0\n", "at least one of yaw"),
        ("time,frame,yaw\n0,0,0\n", "time_s or frame"),
        ("time_s,yaw,yaw_deg\n0,0,0\n", "twice"),
        ("0,1,2\n", "line 1 is not 4 numbers"),
        ("0,0,0,0\n0,1,1,1\n", "must rise"),
        ("-1,0,0,0\n", "must rise"),
        ("1e9,0,0,0\n", "at most 86400 seconds"),
        ("0,1,2,3\n1,1,nan,3\n", "line 2"),
        ("0,1e30,0,0\n", "line 1 has an angle"),
    ],
)
def test_unusable_tables_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as refused:
        _degrees(tmp_path, text)
    assert "p.csv" in str(refused.value) and "\n" not in str(refused.value)


def test_text_of_another_encoding_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes("time_s,yaw\n0,5\n".encode("utf-16"))
    with pytest.raises(InputError, match="save it as CSV UTF-8"):
        read_angles(path, 25.0, 25.0)
