"""Training pairs of the published generators: a composite of the rendered face, and the true picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkingface.core.progress import report_progress
from talkingface.core.types import Track
from talkingface.person.clip import PersonClip
from talkingface.person.stages import load_record, save_record
from talkingface.systems.headpose.official.face.crop import crop_picture, fit_crops, five_points
from talkingface.systems.headpose.official.face.identity import aligned_face, thumbnail
from talkingface.systems.headpose.official.face.render import FaceRenderer, View
from talkingface.systems.headpose.official.networks import HISTORY

RUN = 10  # frames of a long clip are chosen in runs of this length: each picture needs the two composites before it


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """N training frames: `composites` and `truths` uint8 [N, S, S, 3], `numbers` [N] ascending in the clip, and
    `thumbs` uint8 [N, G, G, 3] of the true faces (`identity.thumbnail`) or `faces` [N, 112, 112, 3] for ArcFace."""

    composites: np.ndarray
    truths: np.ndarray
    numbers: np.ndarray
    thumbs: np.ndarray
    faces: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def history(self) -> np.ndarray:
        """Rows of the frames t-2, t-1, t for each t, int [N, 3]; a missing one is replaced by the next."""
        row_of = {int(number): row for row, number in enumerate(self.numbers)}
        rows = np.zeros((len(self), HISTORY), int)
        for row, number in enumerate(self.numbers.tolist()):
            before = row_of.get(number - 1, row)
            rows[row] = row_of.get(number - 2, before), before, row
        return rows


def make_pairs(
    file: Path, clip: PersonClip, renderer: FaceRenderer, view: View, chosen: np.ndarray, most: int, thumb_px: int
) -> Pairs:
    """Composites and truths of the frames in `chosen` bool [T], at most about `most`; kept in `file`."""
    if not file.is_file():
        numbers = choose_runs(chosen, most)
        save_record(file, render_pairs(clip.pictures(), clip.track, renderer, view, numbers, thumb_px))
    return load_record(Pairs, file)


def join_pairs(parts: Sequence[Pairs]) -> Pairs:
    """The pairs of several clips as those of one, with gaps in `numbers` between them: no frame has another clip's for
    its history."""
    first, numbers = 0, []
    for part in parts:
        numbers.append(part.numbers - part.numbers[0] + first)
        first = int(numbers[-1][-1]) + HISTORY
    names = ("composites", "truths", "thumbs", "faces")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Pairs(numbers=np.concatenate(numbers), **joined)


def choose_runs(chosen: np.ndarray, most: int) -> np.ndarray:
    """Numbers of the frames in `chosen`, or of `most` of them in runs of `RUN`, evenly spread."""
    numbers = np.flatnonzero(chosen)
    if len(numbers) <= most:
        return numbers
    runs = np.unique(numbers // RUN)
    kept = runs[np.unique(np.linspace(0, len(runs) - 1, max(1, most // RUN)).astype(int))]
    return numbers[np.isin(numbers // RUN, kept)]


def render_pairs(
    pictures: Iterable[np.ndarray], track: Track, renderer: FaceRenderer, view: View, numbers: np.ndarray, thumb_px: int
) -> Pairs:
    """Composites and truths of the frames `numbers` (rising) of a clip's `pictures`, with their `track`."""
    points = five_points(track.landmarks[numbers])
    crops = fit_crops(points, track.size)
    rows: dict[str, list[np.ndarray]] = {"composites": [], "truths": [], "thumbs": [], "faces": []}
    for row, rgb in enumerate(_only(pictures, numbers)):
        report_progress("drawing the face", row, len(numbers))
        truth = view.cut(rgb)
        rows["truths"].append(truth)
        rows["composites"].append(renderer.render_over(truth, int(numbers[row])))
        rows["thumbs"].append(thumbnail(crop_picture(rgb, crops[row]), thumb_px))
        rows["faces"].append(aligned_face(rgb, points[row]))
    return Pairs(numbers=numbers, **{name: np.stack(pictures) for name, pictures in rows.items()})


def _only(pictures: Iterable[np.ndarray], numbers: np.ndarray) -> Iterator[np.ndarray]:
    wanted = set(numbers.tolist())
    for number, rgb in enumerate(pictures):
        if number in wanted:
            yield rgb
        if number == numbers[-1]:
            return
