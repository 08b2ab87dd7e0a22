"""Data folders: the clips that a manifest lists, what may be learned from them, and the tracks made of them.

Columns of manifest.csv say what a clip is for. Two of them may be missing: `use` ("none": in no list, "motion": no one
speaks, "profile": the mouth is hardly seen, empty: anything) and `held_back`, frames as "300:606" or "-500:" on which
systems are evaluated, so that no general training uses them. Where they are, `development.csv` beside this module fills
them in for the clips of this project's own data folder, whose manifest is older than the columns.
"""

from __future__ import annotations

import csv
import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkingface.clips.tracked import load_track
from talkingface.core.cache import write_atomic
from talkingface.core.errors import InputError
from talkingface.core.types import Track

INDEX = "index.json"
SURE_SYNC = 0.4
"""Correlation from which a lag in the manifest is used."""
LISTED_ERROR_S = 0.05
"""Listed lags come in whole frames: smaller ones may be none."""
_OPTIONAL = ("use", "held_back")
_RANGE = re.compile(r"(-?\d+)?:(-?\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipEntry:
    """A clip of a data folder: its files, split ("train" or "val"), person, licence class, and what it is for.

    `use` and `held_back`: see the module; frames that are held back are a slice of the clip's own frames.
    """

    slug: str
    path: Path
    sound: Path
    split: str
    identity: str
    licence_class: str
    use: str = ""
    held_back: slice | None = None

    @property
    def speaks(self) -> bool:
        """Whether mouth and speech can be learned from it."""
        return not self.use


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedClip(ClipEntry):
    """A clip with its track and sound in `file`, as `training.prepare` writes them."""

    file: Path

    def load_track(self) -> Track:
        """The track of its own frames. Raises InputError."""
        return load_track(self.file)

    def load_samples(self) -> np.ndarray:
        """Its speech, float32 [N] at 16 kHz from its first frame on."""
        with np.load(self.file, allow_pickle=False) as file:
            return file["samples"].astype(np.float32) / 32768

    def free(self, count: int) -> np.ndarray:
        """Which of its `count` frames are not held back, bool [T]."""
        free = np.ones(count, bool)
        if self.held_back is not None:
            free[self.held_back] = False
        return free


def manifest_rows(data: Path, **wanted: str) -> list[dict[str, str]]:
    """Rows of a data folder's manifest.csv whose columns are as `wanted`. Raises InputError when there is none."""
    manifest = data / "manifest.csv"
    if not manifest.is_file():
        raise InputError(f"{data} has no manifest.csv; give a folder with one row a clip (see docs/training.md)")
    with manifest.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if wanted.items() <= row.items()]


def list_clips(data: Path) -> list[ClipEntry]:
    """Clips of a data folder: rows of kind `video` in its manifest.csv, plus `arabic_words/`. Raises InputError."""
    clips = []
    for row in manifest_rows(data, kind="video"):
        path = data / row["file"]
        sidecar = path.with_suffix(".wav")
        clips.append(_entry(row, path, sidecar if sidecar.is_file() else path))
    for path in sorted((data / "arabic_words").glob("*.mp4")):
        clips.append(
            ClipEntry(
                slug=f"words_{path.stem}", path=path, sound=path, split="train", identity="arabic_anchor",
                licence_class="research",
            )
        )  # fmt: skip
    return [clip for clip in clips if clip.use != "none"]


def listed_lags(data: Path) -> dict[str, float]:
    """How late people's lips are by the data folder's manifest (column `lag_pred`), in seconds: medians by person.

    Only lags that are sure and more than rounding. They say where zero is: offsets that all clips share could not be
    found by training on them.
    """
    lags: dict[str, list[float]] = {}
    for row in manifest_rows(data):
        if row.get("lag_pred") and row.get("r_pred") and float(row["r_pred"]) >= SURE_SYNC:
            lags.setdefault(row["identity"], []).append(float(row["lag_pred"]))
    found = {person: float(np.median(values)) for person, values in lags.items()}
    return {person: late for person, late in found.items() if abs(late) > LISTED_ERROR_S}


def write_index(folder: Path, clips: Iterable[ClipEntry]) -> None:
    """Write the index.json of a prepared folder: the `clips` whose track is in it."""
    rows = [
        {
            "slug": clip.slug, "split": clip.split, "identity": clip.identity, "licence_class": clip.licence_class,
            "path": str(clip.path), "use": clip.use, "held_back": held_back_text(clip.held_back),
        }
        for clip in clips
        if prepared_file(folder, clip.slug).is_file()
    ]  # fmt: skip
    with write_atomic(folder / INDEX, "w") as file:
        json.dump(rows, file, indent=1)


def read_index(folder: Path) -> list[dict[str, str]]:
    """Rows of a prepared folder's index.json. Raises InputError if it is none."""
    try:
        return json.loads((folder / INDEX).read_text())
    except (OSError, ValueError) as error:
        problem = f"{folder} is no prepared data folder (no readable {INDEX}); prepare the data first"
        raise InputError(problem) from error


def prepared_clips(folder: Path, split: str | None = None) -> list[PreparedClip]:
    """The clips of a prepared folder, of one split or all, whose track is there. Raises InputError."""
    entries = (_entry(row, Path(row["path"]), Path(row["path"])) for row in read_index(folder))
    return [
        PreparedClip(**{name: getattr(entry, name) for name in ClipEntry.__dataclass_fields__}, file=file)
        for entry in entries
        if split in (None, entry.split) and (file := prepared_file(folder, entry.slug)).is_file()
    ]


def prepared_file(folder: Path, slug: str) -> Path:
    """Where what was made of a clip lies in a prepared folder."""
    return folder / f"{slug}.npz"


def _entry(row: Mapping[str, str], path: Path, sound: Path) -> ClipEntry:
    """A manifest's or index's row; columns that it lacks are filled in."""
    missing = [name for name in ("slug", "split", "identity", "licence_class") if row.get(name) is None]
    if missing:
        raise InputError(f"the manifest lacks the column {missing[0]}; docs/training.md lists what is read")
    known = _development().get(row["slug"], {})
    use, held_back = ((row[name] if name in row else known.get(name)) or "" for name in _OPTIONAL)
    return ClipEntry(
        slug=row["slug"], path=path, sound=sound, split=row["split"], identity=row["identity"],
        licence_class=row["licence_class"], use=use, held_back=_to_slice(held_back),
    )  # fmt: skip


@functools.cache
def _development() -> dict[str, dict[str, str]]:
    with Path(__file__).with_name("development.csv").open(newline="", encoding="utf-8") as file:
        return {row["slug"]: row for row in csv.DictReader(file)}


def _to_slice(text: str) -> slice | None:
    if not text:
        return None
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        raise InputError(f"held_back is frames as in 300:606 or -500:, not {text!r}; correct the manifest")
    return slice(*(None if part is None else int(part) for part in found.groups()))


def held_back_text(frames: slice | None) -> str:
    """Frames that are held back as the manifest writes them: "300:606"; none: ""."""
    if frames is None:
        return ""
    return ":".join("" if part is None else str(part) for part in (frames.start, frames.stop))
