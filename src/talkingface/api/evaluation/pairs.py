"""Which videos are scored against what: one pair, folders matched by name, or a manifest."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from talkingface.clips.source import existing
from talkingface.core.cache import user_path
from talkingface.core.errors import InputError, UsageError

VIDEOS = (".mp4", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".m4v")
SOUNDS = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".aac", *VIDEOS)
PHOTOS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".heic")
COLUMNS = ("name", "generated", "reference", "speech", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One video to score and what it is held against; `problem`: why it cannot be scored at all.

    `sound_track` is that of the file which the speech comes from, 0 first; None: the default one.
    """

    name: str
    generated: Path | None
    reference: Path | None = None
    speech: Path | None = None
    source: Path | None = None
    sound_track: int | None = None
    problem: str | None = None

    def files(self) -> dict[str, str | None]:
        """The paths by role, as text."""
        paths = {role: getattr(self, role) for role in COLUMNS[1:]}
        return {role: None if path is None else str(path) for role, path in paths.items()}


def find_pairs(
    generated: str | Path,
    reference: str | Path | None = None,
    speech: str | Path | None = None,
    source: str | Path | None = None,
) -> list[Pair]:
    """The pairs meant by the arguments of `evaluate`.

    `generated` is a video, a folder of videos, or a manifest (.csv with the columns of `COLUMNS`, of which only
    `generated` is needed; paths are relative to the manifest). For a folder the others may be folders too: files of the
    same name, whatever their suffix, belong together; a single file goes with every video. A video without its partner,
    and a reference without its video, become pairs with a `problem`. Raises InputError, UsageError.
    """
    path = existing(generated)
    if path.suffix.lower() == ".csv":
        if (reference, speech, source) != (None, None, None):
            raise UsageError("a manifest names references, speech and sources itself; leave the options out")
        return _read_manifest(path)
    others = {"reference": reference, "speech": speech, "source": source}
    found = {role: None if other is None else existing(other) for role, other in others.items()}
    if not path.is_dir():
        folder = next((other for other in found.values() if other is not None and other.is_dir()), None)
        if folder is not None:
            raise UsageError(f"{path} is one video but {folder} is a folder; name one file, or a folder for both")
        return [_pair(path.stem, path, found)]
    return _match_folder(path, found)


def list_files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """Files of `folder` with one of `suffixes`, hidden ones left out, by name."""
    wanted = tuple(suffixes)
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in wanted and path.name[0] != "." and path.is_file()
    )


def _pair(name: str, generated: Path | None, others: Mapping[str, Path | None], problem: str | None = None) -> Pair:
    reference, speech, source = (others.get(role) for role in COLUMNS[2:])
    return Pair(name=name, generated=generated, reference=reference, speech=speech, source=source, problem=problem)


def _match_folder(folder: Path, others: dict[str, Path | None]) -> list[Pair]:
    videos = list_files(folder, VIDEOS)
    if not videos:
        raise InputError(f"{folder} holds no videos ({', '.join(VIDEOS)}); name the folder they lie in")
    suffixes = {"reference": VIDEOS, "speech": SOUNDS, "source": PHOTOS}
    by_stem = {
        role: {file.stem: file for file in list_files(other, suffixes[role])}
        for role, other in others.items()
        if other is not None and other.is_dir()
    }
    single = {role: other for role, other in others.items() if other is not None and role not in by_stem}
    pairs = []
    for video in videos:
        found = {**single, **{role: files[video.stem] for role, files in by_stem.items() if video.stem in files}}
        missing = [role for role, files in by_stem.items() if video.stem not in files]
        problem = f"no {missing[0]} named {video.stem} in {others[missing[0]]}" if missing else None
        pairs.append(_pair(video.stem, video, found, problem))
    stems = {video.stem for video in videos}
    for stem, path in by_stem.get("reference", {}).items():
        if stem not in stems:
            pairs.append(
                Pair(name=stem, generated=None, reference=path, problem=f"no generated video named {stem} in {folder}")
            )
    return pairs


def _read_manifest(path: Path) -> list[Pair]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, rows = list(reader.fieldnames or ()), list(reader)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8; save it as CSV UTF-8") from error
    except (OSError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    unknown = sorted(set(columns) - set(COLUMNS))
    if "generated" not in columns or unknown:
        what = f"has an unknown column {unknown[0]!r}" if unknown else "has no column 'generated'"
        raise InputError(f"{path} {what}; its first line names some of: {', '.join(COLUMNS)}")
    pairs = [_manifest_pair(path, number, row) for number, row in enumerate(rows, 2)]
    if not pairs:
        raise InputError(f"{path} lists no videos")
    return pairs


def _manifest_pair(manifest: Path, line: int, row: dict[str, str | None]) -> Pair:
    named = {role: (row.get(role) or "").strip() for role in COLUMNS}
    paths = {role: manifest.parent / user_path(named[role]) if named[role] else None for role in COLUMNS[1:]}
    problem = None if paths["generated"] is not None else f"line {line} of {manifest} names no video"
    for path in paths.values():
        if problem is None and path is not None and not path.is_file():
            problem = f"there is no file {path} (line {line} of {manifest})"
    generated = paths["generated"]
    return _pair(named["name"] or (generated.stem if generated else f"line {line}"), generated, paths, problem)
