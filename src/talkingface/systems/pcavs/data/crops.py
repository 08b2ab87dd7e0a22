"""Tracked clips become training material: crops, points, head pose and mel columns, one file a clip at 25 fps."""

from __future__ import annotations

import json
import multiprocessing
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial import transform

from talkingface.clips.manifest import PreparedClip, listed_lags, prepared_clips, read_index
from talkingface.core.arrays import save_arrays
from talkingface.core.cache import write_atomic
from talkingface.core.errors import InputError, TalkingFaceError
from talkingface.core.progress import report_progress
from talkingface.face.morphable import fit_track, load_mesh478
from talkingface.systems.pcavs.alignment.align import SIZE_PX, alignment, outside, three_points, to_crop, warp
from talkingface.systems.pcavs.data.mel import mel_windows, speech_gain, speech_mel
from talkingface.systems.pcavs.data.timing import FPS, RATE_HZ
from talkingface.training.prepare import prepare_data
from talkingface.video.read import read_frames

FORMAT = 1
JPEG_QUALITY = 95
BORDER = "replicate"
"""Mirrored edges would show a second mouth under many chins."""
LEAST_FRAMES = 10
_Job = tuple[PreparedClip, Path, float]
_EARLY_S = 1e-3
"""Frames may be noted a tick before their time on the clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CropClip:
    """One clip of K frames at 25 fps.

    `landmarks` float16 [K, 478, 2] in pixels of the crops (centres at one half), `matrices` float32 [K, 2, 3] from
    picture to crop (`align`), `pose` float32 [K, 3] the head's rotation vector in radians, `mel` float32 [T, 80] from
    time 0 with the sound moved to the lips, `weight` float32 [K]: 0 where the face was not seen or the frame is held
    back. `speaks`: the sound is this face's. `scale`: pixels of the crop for one of the picture; above 1 it
    is enlarged. `outside`: share of the crop beyond the picture's edge.
    """

    slug: str
    person: str
    split: str
    licence_class: str
    landmarks: np.ndarray
    matrices: np.ndarray
    pose: np.ndarray
    mel: np.ndarray
    weight: np.ndarray
    speaks: bool
    scale: float
    outside: float
    late_s: float
    jpegs: np.ndarray
    """All pictures one after the other, uint8 [N], mapped from the file; picture k ends where k + 1 starts."""
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.weight)

    def frames(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Decode the crops of some frames: uint8 [K, 224, 224, 3]. Raises IndexError, InputError (altered)."""
        if len(numbers) and not 0 <= min(numbers) <= max(numbers) < len(self):
            raise IndexError(f"{self.slug} has frames 0 to {len(self) - 1}")
        made = np.empty((len(numbers), SIZE_PX, SIZE_PX, 3), np.uint8)
        for target, number in zip(made, numbers, strict=True):
            decoded = cv2.imdecode(self.jpegs[self.starts[number] : self.starts[number + 1]], cv2.IMREAD_COLOR)
            if decoded is None or decoded.shape != target.shape:
                raise InputError(f"the crops of {self.slug} are damaged; delete its file and prepare it again")
            cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB, dst=target)
        return made

    def mel_windows(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """The mel windows of some frames, float32 [K, 1, 80, 20]; see `data.mel.mel_windows`."""
        return mel_windows(self.mel, numbers)


def prepare_crops(
    prepared: Path, folder: Path, *, late_s: Mapping[str, float] | None = None, workers: int = 2
) -> list[str]:
    """Cut every clip of a prepared folder (`training.prepare`) into `folder`/SLUG.npz; those done are skipped.

    `late_s`: how late the lips of a person are, in seconds (`clips.manifest.listed_lags`). Writes index.json over the
    clips that are there. Returns sentences about those that were left out. Raises InputError for no prepared folder.
    """
    clips = prepared_clips(prepared)
    folder.mkdir(parents=True, exist_ok=True)
    lags = late_s or {}
    jobs = [
        (clip, folder, lags.get(clip.identity, 0.0)) for clip in clips if not crop_file(folder, clip.slug).is_file()
    ]
    problems = []
    for number, problem in enumerate(_each(jobs, workers), 1):
        report_progress("cutting crops", number, len(jobs))
        if problem:
            problems.append(problem)
    index = [_index_row(path) for clip in clips if (path := crop_file(folder, clip.slug)).is_file()]
    with write_atomic(folder / "index.json", "w") as file:
        json.dump(index, file, indent=1)
    return sorted(problems)


def make_crops(data: Path, folder: Path) -> Path:
    """From a data folder to crops, both steps of it, each resumed: returns the folder of the crops within `folder`."""
    crops = folder / "pcavs-crops"
    for problem in prepare_crops(prepare_data(data, folder), crops, late_s=listed_lags(data)):
        print(f"left out: {problem}")
    return crops


def crop_clips(folder: Path, *, split: str | None = None) -> Iterator[CropClip]:
    """The clips that `prepare_crops` left in `folder`, of one split or all. Raises InputError."""
    for row in read_index(folder):
        if split in (None, row["split"]):
            yield load_crops(crop_file(folder, row["slug"]))


def crop_file(folder: Path, slug: str) -> Path:
    """Where the crops of a clip lie."""
    return folder / f"{slug}.npz"


def load_crops(path: Path) -> CropClip:
    """Open a file that `prepare_crops` wrote; pictures are read when they are asked for. Raises InputError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            facts = json.loads(str(file["facts"]))
            arrays = {name: file[name] for name in ("landmarks", "matrices", "pose", "mel", "weight", "starts")}
        if facts.pop("format") != FORMAT:
            raise InputError(f"{path} was made by another version; delete it and prepare it again")
        return CropClip(**facts, **arrays, jpegs=_mapped(path, "jpegs"))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, struct.error) as error:
        raise InputError(f"{path} holds no crops of a clip; delete it and prepare it again") from error


def _mapped(path: Path, name: str) -> np.ndarray:
    """An array inside an .npz as a view of the file: NumPy maps .npy files alone, yet ours are stored as they are."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        name_length, extra_length = struct.unpack("<HH", file.read(4))
        file.seek(name_length + extra_length, 1)
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return np.memmap(path, dtype, "r", file.tell(), shape) if shape[0] else np.zeros(shape, dtype)


def _index_row(path: Path) -> dict[str, Any]:
    """Facts by which clips are chosen."""
    with np.load(path, allow_pickle=False) as file:
        facts = json.loads(str(file["facts"]))
        weight = file["weight"]
    return {**facts, "frames": len(weight), "usable_frames": int((weight > 0).sum())}


def _each(jobs: Sequence[_Job], workers: int) -> Iterator[str]:
    """Cut all clips, in this process if one worker is enough."""
    if workers < 2 or len(jobs) < 2:
        yield from map(_cut_or_tell, jobs)
        return
    # the clips are what runs side by side, not the rows of a picture
    with multiprocessing.get_context("spawn").Pool(workers, cv2.setNumThreads, (1,)) as pool:
        yield from pool.imap_unordered(_cut_or_tell, jobs)


def _cut_or_tell(job: _Job) -> str:
    """Cut one clip; returns why it was left out, or nothing."""
    clip, folder, late_s = job
    try:
        _cut_clip(clip, crop_file(folder, clip.slug), late_s)
    except (TalkingFaceError, OSError, ValueError, KeyError) as error:
        return f"{clip.slug}: {error}"
    return ""


def _cut_clip(clip: PreparedClip, target: Path, late_s: float) -> None:
    track, samples = clip.load_track(), clip.load_samples()
    shown = shown_frames(track.times_s)
    seen = track.confidence > 0
    if seen[shown].sum() < LEAST_FRAMES:
        raise InputError(f"a face is seen in {int(seen[shown].sum())} frames only")
    landmarks = track.landmarks[shown]
    # one alignment for the clip, as at run time
    matrices = alignment(three_points(landmarks), seen[shown])
    pictures = list(_jpegs(clip.path, shown, matrices))
    free = seen & clip.free(len(track))
    facts = {
        "format": FORMAT,
        "slug": clip.slug,
        # the speakers of the word clips are not distinguished: each clip may be another person
        "person": clip.slug if "arabic" in clip.slug else clip.identity,
        "split": clip.split,
        "licence_class": clip.licence_class,
        "speaks": clip.speaks and bool(np.abs(samples).max(initial=0) > 1e-3),
        "scale": round(float(np.hypot(matrices[0, 0, 0], matrices[0, 1, 0])), 4),
        "outside": round(outside(matrices.mean(axis=0), track.size), 4),
        "late_s": late_s,
    }
    save_arrays(
        target,
        facts=json.dumps(facts),
        jpegs=np.frombuffer(b"".join(pictures), np.uint8),
        starts=np.cumsum([0, *map(len, pictures)]),
        # half precision: steps of an eighth of a pixel
        landmarks=to_crop(landmarks, matrices).astype(np.float16),
        matrices=matrices.astype(np.float32),
        pose=transform.Rotation.from_matrix(fit_track(load_mesh478(), track).rotation[shown])
        .as_rotvec()
        .astype(np.float32),
        mel=speech_mel(moved_sound(samples, late_s, len(shown)), speech_gain(samples)),
        weight=free[shown].astype(np.float32),
    )


def shown_frames(times_s: np.ndarray) -> np.ndarray:
    """Which frame of the clip is on screen at k / 25 s, k = 0 .. last: int [K] into frames at `times_s`, rising."""
    clock = np.arange(int(times_s[-1] * FPS + 1e-3) + 1) / FPS
    return np.maximum(np.searchsorted(times_s, clock + _EARLY_S, side="right") - 1, 0)


def moved_sound(samples: np.ndarray, late_s: float, num_frames: int) -> np.ndarray:
    """The sound of so many frames, float32 [N], `late_s` later than it was recorded: as late as the lips."""
    late = round(late_s * RATE_HZ)
    moved = np.pad(samples, (late, 0)) if late > 0 else samples[-late:]
    return moved[: num_frames * RATE_HZ // FPS]


def _jpegs(path: Path, shown: np.ndarray, matrices: np.ndarray) -> Iterator[bytes]:
    """The crop of each shown frame as a JPEG. Raises InputError if the clip has fewer frames than were tracked."""
    place = 0
    for number, frame in enumerate(read_frames(path)):
        # a slow clip's frame is on screen at several moments of the clock
        while place < len(shown) and shown[place] == number:
            bgr = cv2.cvtColor(warp(frame.rgb, matrices[place], BORDER), cv2.COLOR_RGB2BGR)
            done, picture = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            if not done:
                raise InputError(f"a frame of {path.name} cannot be stored as JPEG")
            yield picture.tobytes()
            place += 1
    if place < len(shown):
        raise InputError(f"{path.name} has fewer frames than were tracked; prepare the data again")
