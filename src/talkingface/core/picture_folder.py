"""Folders of numbered pictures used as a video: which of their files count, in which order, at which rate."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path

from talkingface.core.errors import InputError
from talkingface.core.timing import as_rate

PICTURE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp", ".ppm", ".jp2")
)
RATE_FILE = "fps.txt"
"""A file beside the pictures that holds their frames per second; without it they are shown at `DEFAULT_FPS`."""
DEFAULT_FPS = Fraction(25)
_RATE = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6}|/[1-9][0-9]{0,5})?")
_LEAST_FPS, _MOST_FPS = Fraction(1, 100), 1000


def picture_files(folder: str | Path) -> list[Path]:
    """The pictures in `folder` itself, in the order of their numbers: frame2 comes before frame10.

    Told by their names; hidden files count for nothing. Where `folder` is no folder there are none. Raises InputError
    if it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if _is_picture_name(entry.name) and entry.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror}") from error
    return [Path(folder) / name for name in sorted(names, key=_in_order)]


def is_picture_folder(path: str | Path) -> bool:
    """Whether `path` is a folder with at least one picture in it."""
    return bool(picture_files(path))


def counted_files(folder: str | Path) -> list[Path]:
    """All files that decide what the folder shows: its pictures, and the one with their rate if there is one.

    Raises InputError for a folder without pictures.
    """
    files = picture_files(folder)
    if not files:
        raise InputError(f"{folder} is a folder without pictures; give a file, or a folder of numbered pictures")
    rate = Path(folder) / RATE_FILE
    return [*files, rate] if rate.is_file() else files


def picture_rate(folder: str | Path) -> Fraction:
    """Frames per second of the pictures in `folder`: what its `fps.txt` says ("30", "30000/1001"), else 25.

    Raises InputError for an `fps.txt` that holds no number from 0.01 to 1000.
    """
    path = Path(folder) / RATE_FILE
    if not path.is_file():
        return DEFAULT_FPS
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(64).strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    rate = Fraction(text) if _RATE.fullmatch(text) else Fraction(0)
    if not _LEAST_FPS <= rate <= _MOST_FPS:
        raise InputError(f"{path} must hold one number, the frames per second of the pictures beside it")
    return rate if "/" in text else as_rate(float(rate))


def _is_picture_name(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def _in_order(name: str) -> tuple[list[str | int], str]:
    """Digits compare as numbers, letters without their case; the whole name decides between 1.png, 01.png and 1.jpg."""
    parts = re.split(r"([0-9]+)", os.path.splitext(name)[0].casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name
