"""What a page asks for, read from JSON: strictly, because anything may come over a socket."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from talkingface.api import Shot
from talkingface.core.errors import UsageError
from talkingface.core.types import MAX_FRAMES
from talkingface.core.view import View

SIZES = (128, 1280)
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_PAGE = re.compile(r"[0-9a-z]{1,32}")
_MOST = 256
_VIEW = ("yaw", "pitch", "roll", "zoom", "pan_x", "pan_y", "fov")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One picture, asked for by a page as its wish of this number."""

    page: str
    number: int
    shot: Shot


def read_wish(body: bytes) -> Wish:
    """The wish in a request's body. Raises UsageError that says what is wrong with it."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError("a wish is JSON") from error
    known = {"page", "number", "frame", "added", "closure", "still", "view", "depth", "background", "size", "landmarks"}
    if not isinstance(asked, dict) or not asked.keys() <= known:
        raise UsageError(f"a wish is an object of {', '.join(sorted(known))}")
    page = asked.get("page")
    if not isinstance(page, str) or not _PAGE.fullmatch(page):
        raise UsageError("page is up to 32 letters and digits")
    background = asked.get("background")
    if background not in (None, "keep") and not (isinstance(background, str) and _COLOUR.fullmatch(background)):
        raise UsageError("background is keep or a colour like #20a040")
    size = asked.get("size")
    shot = Shot(
        frame=_whole("frame", asked.get("frame", 0), 0, MAX_FRAMES),
        added=_added(asked.get("added", {})),
        closure=None if asked.get("closure") is None else _number("closure", asked["closure"], 0, 1),
        still=asked.get("still") is True,
        view=_view(asked.get("view", {})),
        depth=asked.get("depth") is True,
        background=background,
        size=None if size is None else _whole("size", size, *SIZES),
        landmarks=None if asked.get("landmarks") is None else _whole("landmarks", asked["landmarks"], 0, MAX_FRAMES),
    )
    return Wish(page=page, number=_whole("number", asked.get("number"), 0, 1 << 53), shot=shot)


def _view(values: Any) -> View:
    if not isinstance(values, dict) or not values.keys() <= {*_VIEW, "settings"}:
        raise UsageError(f"view is an object of {', '.join(_VIEW)} and settings")
    chosen = {name: _number(name, values[name], -100, 100) for name in _VIEW if values.get(name) is not None}
    settings = values.get("settings", {})
    if not isinstance(settings, dict) or len(settings) > _MOST:
        raise UsageError("settings is an object of numbers")
    return View(**chosen, settings={str(name): _number(str(name), value) for name, value in settings.items()})


def _added(values: Any) -> dict[int, float]:
    if (
        not isinstance(values, dict)
        or len(values) > _MOST
        or not all(name.isascii() and name.isdigit() for name in values)
    ):
        raise UsageError("added is an object from columns to numbers")
    return {int(name): _number("a movement", value, -20, 20) for name, value in values.items() if len(name) < 5}


def _number(name: str, value: Any, low: float = -1e9, high: float = 1e9) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise UsageError(f"{name[:32]} is a number from {low:g} to {high:g}")
    return float(value)


def _whole(name: str, value: Any, low: int, high: int) -> int:
    number = _number(name, value, low, high)
    if number != int(number):
        raise UsageError(f"{name} is a whole number")
    return int(number)
