"""The pass over pictures: both videos are read side by side, and no more than a few frames are held at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice, repeat

import cv2
import numpy as np

from talkingface.api.evaluation.subject import Subject
from talkingface.core.progress import report_progress
from talkingface.face.mouth_view import mouth_crop
from talkingface.metrics.behaviour import flow_between, frame_change, warp_error
from talkingface.metrics.picture import (
    Box,
    cpbd,
    laplacian_sharpness,
    luma,
    mouth_box,
    picture_scores,
    psnr,
    square_box,
)
from talkingface.video.resize_area import shrink_area

FLOW_PX = 256
"""Face boxes are scaled down to this before optical flow is sought in them."""
WHOLE_PX = 350_000
"""Whole pictures are compared one in so many that no more than these pixels a picture are: at 512 x 512 each, at 720p
every third. Their PSNR, face and mouth boxes are measured in every picture."""
CPBD_EVERY = 5
FLOW_EVERY = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFigures:
    """What the pass found: values by key, float64 [T] (nan: not measured in that frame), and mouths uint8 [T, 40, 64]
    of the generated video and of the reference (None without one), the face box's median side in pixels, and where it
    usually lies: left, top, right, bottom as shares of the picture."""

    per_frame: dict[str, np.ndarray]
    mouths: np.ndarray
    true_mouths: np.ndarray | None
    face_px: float
    face_box: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.mouths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One time on the clock: pictures now and one frame ago (reference None: there is none; before None: no change)."""

    number: int
    generated: np.ndarray
    reference: np.ndarray | None
    before: tuple[np.ndarray, np.ndarray | None] | None


def score_pictures(generated: Subject, reference: Subject | None, threads: int) -> PictureFigures:
    """Score every picture of `generated`, against `reference` where there is one, in `threads` threads.

    The figures do not depend on `threads`.
    """
    count = len(generated)
    rows: list[dict[str, float]] = []
    mouths: list[tuple[np.ndarray, np.ndarray | None]] = []
    waiting: deque[Future[tuple[dict[str, float], np.ndarray, np.ndarray | None]]] = deque()

    def take() -> None:
        row, mouth, true_mouth = waiting.popleft().result()
        rows.append(row)
        mouths.append((mouth, true_mouth))

    with ThreadPoolExecutor(threads) as pool:
        for moment in moments(generated, reference):
            if len(waiting) > 2 * threads:  # deep enough that decoding never has to wait for one slow picture
                take()
            waiting.append(pool.submit(_score, moment, generated, reference))
            report_progress("comparing pictures", moment.number + 1, count)
        while waiting:
            take()
    keys = sorted({key for row in rows for key in row})
    face_px, face_box = _usual_boxes(reference or generated)
    return PictureFigures(
        per_frame={key: np.array([row.get(key, np.nan) for row in rows]) for key in keys},
        mouths=np.stack([mouth for mouth, _ in mouths]),
        true_mouths=None if reference is None else np.stack([true for _, true in mouths if true is not None]),
        face_px=face_px,
        face_box=face_box,
    )


def moments(generated: Subject, reference: Subject | None) -> Iterator[Moment]:
    """The pictures of both videos side by side, the generated ones in the reference's size."""
    made = islice(generated.pictures(), len(generated))
    true = repeat(None) if reference is None else reference.pictures()
    before, decoded = None, None
    for number, (picture, truth) in enumerate(zip(made, true, strict=False)):
        # a slower video shows a picture again, as the same array: that is the clock's doing, not a frozen face
        repeated, decoded = picture is decoded, picture
        if truth is not None and picture.shape != truth.shape:
            picture = _resized(picture, (truth.shape[1], truth.shape[0]))
        yield Moment(number=number, generated=picture, reference=truth, before=None if repeated else before)
        before = (picture, truth)


def _usual_boxes(subject: Subject) -> tuple[float, tuple[float, ...]]:
    """The median longer side of the face box in pixels, and its usual edges as shares of the picture."""
    boxes = np.array([square_box(points, subject.size) for points in subject.points[:: 2 * CPBD_EVERY]])
    longer = np.median((boxes[:, 2:] - boxes[:, :2]).max(1))
    return float(longer), tuple((np.median(boxes, axis=0) / (subject.size * 2)).tolist())


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if size[0] <= picture.shape[1] and size[1] <= picture.shape[0]:
        return shrink_area(picture, size)
    return cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)


def _score(
    moment: Moment, generated: Subject, reference: Subject | None
) -> tuple[dict[str, float], np.ndarray, np.ndarray | None]:
    k, picture, truth = moment.number, moment.generated, moment.reference
    size = (picture.shape[1], picture.shape[0])
    own = generated.points_in(picture, k)
    shown = reference if reference is not None else generated
    points = own if reference is None else reference.points[k]
    face = square_box(points, size)
    grey, true_grey = luma(picture), None if truth is None else luma(truth)
    row: dict[str, float] = {}
    if truth is not None and true_grey is not None:
        pictures, greys = (picture, truth), (grey, true_grey)
        if k % math.ceil(size[0] * size[1] / WHOLE_PX) == 0:
            row |= _keyed("frame", pictures, greys)
        else:
            row["picture.psnr.frame"] = psnr(*pictures)
        if shown.seen[k]:
            for name, box in (("face", face), ("mouth", mouth_box(points, size))):
                row |= _keyed(name, *((box.cut(a), box.cut(b)) for a, b in (pictures, greys)))
    if shown.seen[k]:
        row["picture.sharpness"] = laplacian_sharpness(face.cut(grey))
        if k % CPBD_EVERY == 0:
            row["picture.cpbd"] = cpbd(face.cut(grey))
    if moment.before is not None:
        row |= _over_time(moment, face)
    true_mouth = None if true_grey is None or reference is None else mouth_crop(true_grey, reference.points[k])
    return row, mouth_crop(grey, own), true_mouth


def _keyed(
    place: str, pictures: tuple[np.ndarray, np.ndarray], greys: tuple[np.ndarray, np.ndarray]
) -> dict[str, float]:
    a, b = (np.ascontiguousarray(picture) for picture in pictures)
    return {f"picture.{name}.{place}": value for name, value in asdict(picture_scores(a, b, greys)).items()}


def _over_time(moment: Moment, face: Box) -> dict[str, float]:
    """How the face box changed since the frame before."""
    assert moment.before is not None
    earlier, true_earlier = moment.before
    row = {"motion.frame_change": frame_change(face.cut(earlier), face.cut(moment.generated))}
    if moment.number % FLOW_EVERY:
        return row
    first, second = _for_flow(face.cut(earlier)), _for_flow(face.cut(moment.generated))
    if moment.reference is not None and true_earlier is not None:
        flow = flow_between(_for_flow(face.cut(true_earlier)), _for_flow(face.cut(moment.reference)))
    else:
        flow = flow_between(first, second)
    row["motion.warp_error"] = warp_error(first, second, flow)
    return row


def _for_flow(face: np.ndarray) -> np.ndarray:
    longest = max(face.shape[:2])
    if longest <= FLOW_PX:
        return np.ascontiguousarray(face)
    height, width = (max(round(side * FLOW_PX / longest), 1) for side in face.shape[:2])
    return shrink_area(face, (width, height))
