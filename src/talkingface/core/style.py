"""`Style`: how a person moves while speaking, as a few figures that can be laid on any face, and its file.

Standard library only, like the options that name it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from talkingface.core.cache import user_path, write_atomic
from talkingface.core.config import parse_json
from talkingface.core.errors import ArgumentError, InputError
from talkingface.core.registry import suggest

FORMAT, FORMAT_VERSION = "talkingface-style", 1
_MAX_BYTES = 1 << 20


def _figure(average: float, unit: str, most: float, meaning: str) -> Any:
    """A field whose default is the average speaker's value; above `most` lies no person's."""
    return field(default=average, metadata={"unit": unit, "most": most, "meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How far, how wide and how fast a person moves the mouth while speaking, and how the head goes with it.

    The defaults are the average speaker, who changes nothing: `talkingface bench --what average-style` measures them.
    A length of 1 is the distance of the outer eye corners. `name`, `sha256`, `speech_s`: the file that the figures were
    read from, and seconds of speech in it. `notes`: sentences for the user.
    """

    opening: float = _figure(0.117, "eye distances", 1, "lip gap that is exceeded a tenth of the time")
    width: float = _figure(0.0326, "eye distances", 1, "standard deviation of the mouth's width")
    jaw: float = _figure(0.0316, "eye distances", 1, "standard deviation of the distance from nose to chin")
    pace: float = _figure(11.5, "1/s", 100, "speed of lips and jaw over their deviation")
    pitch: float = _figure(2.44, "degrees", 90, "standard deviation of the head's nod")
    yaw: float = _figure(2.66, "degrees", 90, "standard deviation of the head's turn")
    roll: float = _figure(1.87, "degrees", 90, "standard deviation of the head's lean")
    shift: float = _figure(0.083, "eye distances", 10, "standard deviation of the head's place in the picture")
    head_pace: float = _figure(5.25, "1/s", 100, "speed of the head's turns over their deviation")
    blinks: float = _figure(31.0, "1/min", 300, "blinks a minute")
    name: str = ""
    sha256: str = ""
    speech_s: float = 0.0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, facts in FIGURES.items():
            value, most = getattr(self, name), facts["most"]
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= most:
                raise ArgumentError(f"{name} of a style must be a number from 0 to {most:g}, not {value!r}")


FIGURES: dict[str, dict[str, Any]] = {
    item.name: {**item.metadata, "average": item.default} for item in fields(Style) if "unit" in item.metadata
}
"""Name -> `average`, `unit`, `most`, `meaning` of each figure of a style."""
AVERAGE = Style()


def save_style(path: str | Path, style: Style) -> None:
    """Write a style as readable JSON. Raises OutputError if it cannot be written."""
    shown = ("average", "unit", "meaning")
    data = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "read_from": {"name": style.name, "sha256": style.sha256, "speech_s": style.speech_s},
        "figures": {
            name: {"value": getattr(style, name), **{key: facts[key] for key in shown}}
            for name, facts in FIGURES.items()
        },
        "notes": list(style.notes),
    }
    with write_atomic(path, "w") as file:
        json.dump(data, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def load_style(path: str | Path) -> Style:
    """Read a style that `save_style` wrote, or one written by hand: only values count, figures left out are average.

    Raises InputError saying what is wrong with the file.
    """
    try:
        with open(user_path(path), "rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read the style {path}: {(error.strerror or 'it is no file').lower()}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a style file (.json written by talkingface style)") from error
    data = parse_json(text, str(path)) if len(raw) <= _MAX_BYTES else None
    if not isinstance(data, dict) or data.get("format") != FORMAT or not isinstance(data.get("figures"), dict):
        raise InputError(f"{path} is not a style file (.json written by talkingface style)")
    if not isinstance(data.get("format_version"), int) or data["format_version"] > FORMAT_VERSION:
        raise InputError(f"{path} was written by a newer version; upgrade talkingface")
    try:
        return Style(**_values(data["figures"]), **_origin(data.get("read_from")), notes=_notes(data.get("notes")))
    except ValueError as error:
        raise InputError(f"{path} is not a usable style: {error}") from error


def _values(figures: dict[str, Any]) -> dict[str, float]:
    values = {}
    for name, entry in figures.items():
        if name not in FIGURES:
            raise ValueError(f"it has an unknown figure {name!r}{suggest(name, FIGURES)}")
        values[name] = entry.get("value") if isinstance(entry, dict) else entry
    return values


def _origin(read_from: Any) -> dict[str, Any]:
    given = read_from if isinstance(read_from, dict) else {}
    seconds = given.get("speech_s", 0.0)
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    return {
        "name": str(given.get("name", ""))[:300],
        "sha256": str(given.get("sha256", ""))[:64],
        "speech_s": float(seconds) if number else 0.0,
    }


def _notes(notes: Any) -> tuple[str, ...]:
    return tuple(str(note)[:300] for note in notes[:20]) if isinstance(notes, list) else ()
