"""Style files: what is written is read, what is written by hand too, and mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from talkingface.core.errors import ArgumentError, InputError
from talkingface.core.style import AVERAGE, FIGURES, Style, load_style, save_style

LIVELY = Style(opening=0.2, width=0.05, blinks=12.5, name="a.mp4", sha256="ab", speech_s=7.5, notes=("only 7.5 s",))


def _edited(path: Path, **changes: object) -> Path:
    save_style(path, LIVELY)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def test_what_was_saved_is_loaded_and_can_be_read(tmp_path: Path) -> None:
    save_style(tmp_path / "a.json", LIVELY)
    assert load_style(tmp_path / "a.json") == LIVELY
    shown = json.loads((tmp_path / "a.json").read_text())
    assert shown["figures"]["opening"]["value"] == 0.2
    assert shown["figures"]["opening"]["average"] == AVERAGE.opening
    assert all(entry["unit"] and entry["meaning"] for entry in shown["figures"].values())
    assert shown["read_from"] == {"name": "a.mp4", "sha256": "ab", "speech_s": 7.5}


def test_a_style_written_by_hand_needs_only_what_is_not_average(tmp_path: Path) -> None:
    path = _edited(tmp_path / "a.json", figures={"opening": 0.15, "yaw": {"value": 5}}, read_from=None, notes=None)
    assert load_style(path) == Style(opening=0.15, yaw=5)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"format": "other"}, "not a style file"),
        ({"figures": [1]}, "not a style file"),
        ({"format_version": 2}, "newer version"),
        ({"format_version": "1"}, "newer version"),
        ({"figures": {"openning": 0.1}}, "'openning'; did you mean opening"),
        ({"figures": {"opening": -0.1}}, "opening of a style must be a number from 0 to 1"),
        ({"figures": {"opening": True}}, "must be a number"),
        ({"figures": {"opening": {"unit": "cm"}}}, "must be a number"),
        ({"figures": {"opening": 40}}, "from 0 to 1, not 40"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        load_style(_edited(tmp_path / "a.json", **changes))


def test_what_is_no_style_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xfe{}")
    for name in ("a.json", "missing.json"):
        with pytest.raises(InputError, match=name):
            load_style(tmp_path / name)
    with pytest.raises(ArgumentError, match="pace of a style"):
        Style(pace=float("nan"))
    assert set(FIGURES) <= set(Style.__dataclass_fields__)
