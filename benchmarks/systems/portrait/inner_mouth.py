"""What is seen between the lips, by how far they open: brightness, teeth and red, drawn against the real frames.

Definitions. Inside: the polygon of the inner lips of the clip's own track, the same for both pictures. Opening: the lip
gap of `face.mouth_measures` in eye distances, in five ranges (`OPENINGS`). The skin of the clip's first frame is the
measure of light: brightness is mean luma over the skin's. A pixel is a tooth if it is at least `TOOTH_LUMA` times as
bright as the skin and its tint R / (R + G + B) is less than the skin's by `TOOTH_TINT`; it is red (tongue, gums, lips
turned in) if it is at least `RED_LUMA` times as bright and its tint is more than the skin's by `RED_TINT`. The rest is
cavity, or teeth in the shade.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from benchmarks.data import beginning, clip_track, inside, spread
from benchmarks.systems.portrait.picture import BATCH, SKIPPED, Drawing
from benchmarks.targets import Finding, Row, TargetJob, between
from talkingface import api
from talkingface.clips.manifest import ClipEntry, list_clips
from talkingface.core.progress import report_progress
from talkingface.face.topology import INNER_LIP_LOWER, INNER_LIP_UPPER
from talkingface.face.track import smooth_track
from talkingface.metrics.mouth import mouth_measures
from talkingface.photo.refine import Refiner
from talkingface.photo.window import read_skin
from talkingface.video.image import write_image

OPENINGS = (0.03, 0.06, 0.1, 0.15, 0.2)
"""Where each range of the gap begins; the last one has no end."""
NAMES = ("brightness", "teeth", "red")
WITHIN = (0.85, 1.15)
TOOTH_LUMA, TOOTH_TINT = 0.45, 0.02
RED_LUMA, RED_TINT = 0.25, 0.04
SMALLEST_PX = 24
"""Pixels between the lips below which nothing can be told apart."""
FRAMES_EACH = 12
"""Of one clip and opening, spread over it."""
LEAST_FRAMES = 10
"""With fewer in all there is no verdict on an opening."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_RING = [*INNER_LIP_UPPER, *INNER_LIP_LOWER[-2:0:-1]]
_THUMB = (96, 64)


def inner_mouth(job: TargetJob) -> Finding:
    """Val clips' first frames, driven by the clips' own tracks; `job.limit` clips are spread over the list.

    Clips without colours are left out. Each clip counts by its frames in each range.
    """
    refiner = api.load("portrait", weights=job.weights).refiner  # type: ignore[attr-defined]
    clips = [clip for clip in list_clips(job.folder) if clip.split == "val" and clip.slug not in SKIPPED]
    clips = spread(clips, job.limit)
    table = Table()
    for number, clip in enumerate(clips):
        report_progress("clips", number, len(clips))
        add_clip(table, clip, refiner, job.sheets)
    return Finding(rows=table.rows(), details={"frames": table.frames, "means": table.means()})


def inner_measures(rgb: np.ndarray, points: np.ndarray, skin: np.ndarray) -> np.ndarray | None:
    """Brightness, share of teeth and share of red [3] between the lips of landmarks [478, 3] in uint8 [H, W, 3].

    `skin` [3]: the face's mean colour. None: too few pixels.
    """
    box, mask = inner_mask(points, rgb.shape)
    if np.count_nonzero(mask) < SMALLEST_PX:
        return None
    luma, teeth, red = kinds(rgb[box][mask > 0], skin)
    return np.array([luma.mean(), teeth.mean(), red.mean()])


def inner_mask(points: np.ndarray, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], np.ndarray]:
    """The bounding box of the inner lips as rows and columns, and where in it they are open (255)."""
    ring = points[_RING, :2]
    box = inside(np.floor(ring.min(0)), np.ceil(ring.max(0)) + 1, shape)
    mask = np.zeros((max(box[0].stop - box[0].start, 0), max(box[1].stop - box[1].start, 0)), np.uint8)
    if mask.size:
        fixed = np.round((ring - (box[1].start, box[0].start) - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(mask, [fixed], (255,), shift=4)
    return box, mask


def kinds(colours: np.ndarray, skin: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of colours [..., 3]: luma over the skin's, which are teeth, which are red."""
    colours, skin = colours.astype(np.float32), skin.astype(np.float32)
    luma = colours @ _LUMA / max(float(skin @ _LUMA), 1.0)
    tint = (colours[..., 0] + 1) / (colours.sum(-1) + 3) - (skin[0] + 1) / (skin.sum() + 3)
    return luma, (luma >= TOOTH_LUMA) & (tint <= -TOOTH_TINT), (luma >= RED_LUMA) & (tint >= RED_TINT)


def opening_of(gap: float) -> int:
    """The number of the range that a gap lies in; -1: closed."""
    return int(np.searchsorted(OPENINGS, gap, side="right")) - 1


@dataclass(slots=True)
class Table:
    """Measures [2, 3] (drawn, real) of frames by opening."""

    measures: list[list[np.ndarray]] = field(default_factory=lambda: [[] for _ in OPENINGS])

    def add(self, opening: int, drawn: np.ndarray | None, real: np.ndarray | None) -> None:
        """One frame; None was too small."""
        if drawn is not None and real is not None:
            self.measures[opening].append(np.stack([drawn, real]))

    @property
    def frames(self) -> list[int]:
        """How many by opening."""
        return [len(found) for found in self.measures]

    def means(self) -> list[dict[str, list[float]] | None]:
        """By opening: drawn and real mean of each measure."""
        found = [np.mean(rows, axis=0).round(4).T.tolist() if rows else None for rows in self.measures]
        return [None if pairs is None else dict(zip(NAMES, pairs, strict=True)) for pairs in found]

    def rows(self) -> list[Row]:
        """Drawn over real, by measure and opening; and how far single frames are apart, which means do not show."""
        found = []
        for k, name in enumerate(NAMES):
            for opening, frames in enumerate(self.measures):
                label = f"{name}, drawn over real, {_range(opening)}"
                if not frames:
                    found.append(Row(name=label, value=None, target="no frames"))
                    continue
                drawn, real = np.mean(frames, axis=0)[:, k]
                row = between(label, drawn / max(real, 1e-3), *WITHIN)
                few = Row(name=f"{label} ({len(frames)} frames)", value=row.value)
                found.append(row if len(frames) >= LEAST_FRAMES else few)
        every = [pair for frames in self.measures for pair in frames]
        if every:
            apart = np.abs(np.diff(every, axis=1)).mean((0, 1))
            found += [
                Row(name=f"{name}, mean difference of a frame", value=float(apart[k])) for k, name in enumerate(NAMES)
            ]
        return found


def _range(opening: int) -> str:
    edges = (*OPENINGS, None)
    low, high = edges[opening], edges[opening + 1]
    return f"gap from {low:g}" if high is None else f"gap {low:g} to {high:g}"


def add_clip(table: Table, clip: ClipEntry, refiner: Refiner, sheets: Path | None = None) -> None:
    """Draw up to twelve frames of each opening of a clip and add them; `sheets` gets their mouths, drawn below real."""
    track = clip_track(clip.path)
    driven = smooth_track(track)
    seen = np.flatnonzero(track.confidence > 0)
    first = int(seen[0])
    openings = [opening_of(gap) for gap in mouth_measures(driven.landmarks)[:, 0]]
    wanted = _spread_over(openings, seen[seen > first].tolist())
    real: dict[int, np.ndarray] = {}
    photo: np.ndarray | None = None
    for number, frame in enumerate(beginning(clip.path)):
        photo = frame.rgb if number == first else photo
        if number in wanted:
            real[number] = frame.rgb
    if photo is None or not real or not (read := read_skin(photo, track.landmarks[first])).is_coloured:
        return
    skin = read.colour
    drawing = Drawing(photo, track.landmarks[first], refiner)
    numbers, thumbs = sorted(real), []
    for start in range(0, len(numbers), BATCH):
        batch = numbers[start : start + BATCH]
        _, full = drawing.draw([driven.landmarks[k] for k in batch])
        for number, drawn in zip(batch, full, strict=True):
            points = driven.landmarks[number]
            pair = [inner_measures(picture, points, skin) for picture in (drawn, real[number])]
            table.add(openings[number], *pair)
            if sheets is not None and pair[0] is not None:
                thumbs.append(np.concatenate([_thumb(picture, points, skin) for picture in (real[number], drawn)]))
    if sheets is not None and thumbs:
        sheets.mkdir(parents=True, exist_ok=True)
        write_image(sheets / f"inner-mouth-{clip.slug}.png", np.concatenate(thumbs, axis=1))


def _spread_over(openings: list[int], numbers: list[int]) -> set[int]:
    """Some frames of each opening."""
    by_opening = [[n for n in numbers if openings[n] == k] for k in range(len(OPENINGS))]
    return {n for found in by_opening for n in spread(found, FRAMES_EACH)}


def _thumb(rgb: np.ndarray, points: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """The inside of a mouth, and below it what was counted: teeth white, red red, the rest as it is in grey."""
    box, mask = inner_mask(points, rgb.shape)
    part = rgb[box]
    luma, teeth, red = kinds(part, skin)
    shown = np.repeat((np.clip(luma, 0, 1) * 150)[..., None], 3, -1).astype(np.uint8)
    shown[teeth & (mask > 0)], shown[red & (mask > 0)] = 255, (255, 0, 0)
    return np.concatenate([_fitted(part), _fitted(shown)])


def _fitted(part: np.ndarray) -> np.ndarray:
    return cv2.resize(part, _THUMB, interpolation=cv2.INTER_NEAREST)
