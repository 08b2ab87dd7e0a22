"""Every portrait made to speak: who is refused, whether the results still show a face, folds, and jitter."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.data import clip_track, mouth_box, write_voice
from benchmarks.targets import Finding, Row, TargetJob, at_least, at_most
from talkingface import api
from talkingface.clips.manifest import list_clips
from talkingface.core.errors import FaceError, TalkingFaceError
from talkingface.core.progress import report_progress
from talkingface.core.types import NUM_POINTS, Avatar, Motion, Track
from talkingface.face.morphable import load_mesh478
from talkingface.face.pose import STABLE_POINTS, fit_similarity, undo_similarity
from talkingface.face.topology import (
    IRISES,
    LEFT_EYE_LOWER,
    LEFT_EYE_UPPER,
    LIPS,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
)
from talkingface.face.track import track_frames
from talkingface.photo.rig import folded, load_rig
from talkingface.photo.scene import face_unit
from talkingface.video.image import is_image, write_image
from talkingface.video.read import VideoFrame, read_frames

SPEECH_S = 4.0
REFUSED = ("animal_dog", "driver_no_face")
SEEN_SHARE, JITTER_RATIO = 0.99, 1.5
SHEET_TIMES, SHEET_PX = 6, 224


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceResult:
    """What one face gave: `error` (class and message, empty for success), `seen` share of frames with a face,
    `folded` triangles turned over by the expression in the worst frame, `jitter` in eye distances, `unmoved` the
    jitter seen in the face before it was made to speak (videos, and photos that exceed the limit)."""

    name: str
    error: str = ""
    refused: bool = False
    seen: float | None = None
    folded: int | None = None
    jitter: dict[str, float] | None = None
    unmoved: dict[str, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) not in (None, "")}


def robustness(job: TargetJob) -> Finding:
    """Animate all faces with four seconds of speech, track the finished files, and compare with real clips."""
    faces = sorted(path for path in (job.folder / "portrait").iterdir() if path.is_file())
    faces += sorted(path for path in (job.folder / "video").glob("driver_*") if path.suffix != ".wav")
    real = [jitter(track) for track in islice(_real_tracks(job.folder), job.limit)]
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as folder:
        voice = Path(folder) / "speech.wav"
        write_voice(job.folder, SPEECH_S, voice)
        results = []
        for number, face in enumerate(faces[: job.limit]):
            report_progress("faces", number, len(faces[: job.limit]))
            result = _speak(face, voice, Path(folder) / "out.mp4", job)
            if result.jitter and _exceeds(result.jitter, real):
                result = replace(result, unmoved=_unmoved_jitter(face, voice, Path(folder) / "still.mp4", job))
            results.append(result)
    return Finding(rows=_rows(results, real), details={"faces": [r.as_json() for r in results], "real_jitter": real})


def _real_tracks(data: Path) -> Iterator[Track]:
    for clip in list_clips(data):
        if clip.split == "val" and not clip.slug.startswith("driver_"):
            yield clip_track(clip.path)


def _speak(face: Path, voice: Path, output: Path, job: TargetJob) -> FaceResult:
    try:
        animation = api.animate(face, voice, weights=job.weights)
        animation.save(output)
    except FaceError as error:
        return FaceResult(name=face.stem, refused=True, error=f"FaceError: {error}")
    except TalkingFaceError as error:
        return FaceResult(name=face.stem, error=f"{type(error).__name__}: {error}")
    try:
        track = track_frames((frame.rgb, frame.time_s) for frame in read_frames(output))
    except FaceError as error:
        return FaceResult(name=face.stem, seen=0.0, error=f"in the result: {error}")
    if job.sheets is not None:
        job.sheets.mkdir(parents=True, exist_ok=True)
        write_image(job.sheets / f"{face.stem}.png", contact_sheet(read_frames(output), track))
    is_photo = animation.avatar.card.get("kind") == "photo"
    return FaceResult(
        name=face.stem,
        seen=round(float((track.confidence > 0).mean()), 4),
        folded=folded_triangles(animation.avatar, animation.motions()) if is_photo else None,
        jitter=jitter(track),
    )


def _exceeds(found: dict[str, float], real: list[dict[str, float]]) -> bool:
    return any(value > JITTER_RATIO * np.median([row[part] for row in real]) for part, value in found.items())


def _unmoved_jitter(face: Path, voice: Path, output: Path, job: TargetJob) -> dict[str, float]:
    """What the tracker sees tremble where nothing speaks: the video itself, or the photo as a video that stands."""
    if is_image(face):
        still = {"pose": "still", "blink": 0.0, "expression_scale": 0.0}
        api.animate(face, voice, weights=job.weights, **still).save(output)
        return jitter(track_frames((frame.rgb, frame.time_s) for frame in read_frames(output)))
    return jitter(clip_track(face))


def _rows(results: list[FaceResult], real: list[dict[str, float]]) -> list[Row]:
    wrong = [r.name for r in results if r.refused != (r.name in REFUSED) or (r.error and not r.refused)]
    done = [r for r in results if r.seen is not None]
    seen = [r.seen for r in done if r.seen is not None]
    folded = [r.folded for r in done if r.folded is not None]
    rows = [
        Row(name="faces tried", value=len(results)),
        Row(name=f"wrongly refused or accepted{_list(wrong)}", value=len(wrong), target="0", met=not wrong),
    ]
    if seen:
        lost = [r.name for r in done if r.seen is not None and r.seen < SEEN_SHARE]
        share = float(np.mean(seen))
        rows.append(at_least(f"frames with a face{_list(lost)}", share, SEEN_SHARE))
    if folded:
        names = [r.name for r in done if r.folded]
        rows.append(Row(name=f"flipped triangles{_list(names)}", value=max(folded), target="0", met=not any(folded)))
    return [*rows, *_jitter_rows([r for r in done if r.jitter], real)]


def _jitter_rows(found: list[FaceResult], real: list[dict[str, float]]) -> list[Row]:
    """Against real video's, and against the more of that and what the tracker sees in the face where it is unmoved."""
    rows = []
    for part in ("face", "lips") if found and real else ():
        usual = float(np.median([row[part] for row in real]))
        ratios = {r.name: r.jitter[part] / usual for r in found if r.jitter}
        over = {r.name: r.jitter[part] / max(usual, (r.unmoved or {}).get(part, 0.0)) for r in found if r.jitter}
        worst = max(ratios, key=ratios.__getitem__)
        middle = float(np.median([*ratios.values()]))
        rows.append(at_most(f"jitter of the {part} over real video's, median", middle, JITTER_RATIO))
        rows.append(Row(name=f"jitter of the {part} over real video's, worst ({worst})", value=ratios[worst]))
        worst = max(over, key=over.__getitem__)
        name = f"jitter of the {part} over that or the unmoved face's, worst ({worst})"
        rows.append(at_most(name, over[worst], JITTER_RATIO))
    return rows


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")
    return f" ({shown})" if names else ""


def folded_triangles(avatar: Avatar, motions: Iterator[Motion]) -> int:
    """The most skin triangles that an expression turns over in any frame, seen in the photo's own pose.

    In that pose because a turning head rightly turns triangles at its side away, where nearer ones hide them.
    """
    rig = load_rig(avatar.tensors)
    most = 0
    for motion in motions:
        for k in range(len(motion)):
            closure = 0.0 if motion.blink is None else float(motion.blink[k, 0])
            target, rigid = rig.target(motion.expression[k], None if motion.pose is None else motion.pose[k], closure)
            most = max(most, int(folded(rigid.inverse(target), rig.photo).sum()))
    return most


def jitter(track: Track) -> dict[str, float]:
    """How much face and lips tremble: second difference from frame to frame, head motion removed, in eye distances.

    Root mean square over the points, median over frames; "face" leaves out the lips, and the eyes, which blink.
    """
    points = track.landmarks[track.confidence > 0].astype(np.float64)
    if len(points) < 3:
        return {"face": 0.0, "lips": 0.0}
    model = load_mesh478().mean.astype(np.float64)
    upright = undo_similarity(points, *fit_similarity(model[STABLE_POINTS], points[:, STABLE_POINTS]))[..., :2]
    bend = np.square(upright[2:] - 2 * upright[1:-1] + upright[:-2]).sum(-1)
    left_out = {*RIGHT_EYE_UPPER, *RIGHT_EYE_LOWER, *LEFT_EYE_UPPER, *LEFT_EYE_LOWER, *IRISES, *LIPS}
    parts = {"face": [k for k in range(NUM_POINTS) if k not in left_out], "lips": list(LIPS)}
    return {name: round(float(np.median(np.sqrt(bend[:, part].mean(-1)))), 6) for name, part in parts.items()}


def contact_sheet(frames: Iterator[VideoFrame], track: Track) -> np.ndarray:
    """Three rows of pictures over time: the whole, the mouth, the eyes."""
    wanted = set(np.linspace(0, len(track) - 1, SHEET_TIMES).astype(int).tolist())
    columns = []
    for number, frame in enumerate(frames):
        if number in wanted:
            points = track.landmarks[number]
            boxes = (np.s_[:, :], mouth_box(points, frame.rgb.shape), _eye_box(points, frame.rgb.shape))
            columns.append(np.concatenate([_fitted(frame.rgb[box]) for box in boxes]))
    return np.concatenate(columns, axis=1)


def _eye_box(points: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, slice]:
    unit = face_unit(points)
    x, y = (points[33, :2] + points[263, :2]) / 2
    x0, x1 = (int(np.clip(x + side * 0.7 * unit, 0, shape[1])) for side in (-1, 1))
    y0, y1 = (int(np.clip(y + side * 0.35 * unit, 0, shape[0])) for side in (-1, 1))
    return slice(y0, y1), slice(x0, x1)


def _fitted(part: np.ndarray) -> np.ndarray:
    if not part.size:
        return np.zeros((SHEET_PX, SHEET_PX, 3), np.uint8)
    scale = SHEET_PX / max(part.shape[:2])
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    low, side = SHEET_PX - size[1], SHEET_PX - size[0]
    return cv2.copyMakeBorder(small, low // 2, low - low // 2, side // 2, side - side // 2, cv2.BORDER_CONSTANT)
