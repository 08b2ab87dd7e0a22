"""Figures of networks whose weights users import: LPIPS, FID, CSIM, the official SyncNet.

A pass of its own over the pictures, made only where there are such weights: the networks cost far more than decoding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from talkingface.api.evaluation.report import FID_ARRAYS
from talkingface.api.evaluation.score.motion import Figures
from talkingface.api.evaluation.score.pictures import Moment, moments
from talkingface.api.evaluation.subject import Subject
from talkingface.core.errors import WeightsError
from talkingface.core.progress import report_progress
from talkingface.core.weights import find_weights, read_card

EVERY = 5
"""LPIPS, FID and CSIM are taken from every fifth picture: neighbours are alike."""
BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Inputs of the networks: both videos (of one length), sound from time 0, and the photo, where there are any."""

    generated: Subject
    reference: Subject | None
    samples: np.ndarray | None
    source: Path | None


class Watcher(Protocol):
    """Sees each moment in order; `finish` notes its figures, and gives arrays that are worth keeping."""

    def see(self, moment: Moment) -> None: ...
    def finish(self, figures: Figures) -> dict[str, np.ndarray]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A network: `weights` in the store, the `keys` it gives, how they are imported, what watches with it."""

    weights: str
    keys: tuple[str, ...]
    name: str
    importing: str
    watcher: Callable[[Task], Watcher]


def imported_hashes() -> dict[str, str]:
    """SHA-256 by name of the imported weights that are there: they are part of what a record depends on."""
    found = {}
    for kind in KINDS:
        try:
            found[kind.weights] = str(read_card(find_weights(kind.weights).folder)["sha256"])
        except WeightsError:
            continue
    return found


def score_learned(figures: Figures, task: Task) -> dict[str, np.ndarray]:
    """Note every figure whose weights are there, and why the others are missing. Returns arrays worth keeping."""
    watchers = []
    there = imported_hashes()
    for kind in KINDS:
        if kind.weights not in there:
            figures.miss(f"{kind.name} needs weights: talkingface weights import {kind.importing}", *kind.keys)
            continue
        try:
            watchers.append(kind.watcher(task))
        except (_NoUseError, WeightsError) as problem:
            figures.miss(str(problem), *kind.keys)
    if watchers:
        count = len(task.generated)
        for moment in moments(task.generated, task.reference):
            report_progress("asking imported networks", moment.number, count)
            for watcher in watchers:
                watcher.see(moment)
    kept: dict[str, np.ndarray] = {}
    for watcher in watchers:
        kept |= watcher.finish(figures)
    return kept


class _NoUseError(Exception):
    """Why a network cannot say anything about this task."""


@dataclass(slots=True)
class _Batches:
    """Gathers pictures and hands them on a few at a time."""

    use: Callable[[Sequence[tuple[np.ndarray, ...]]], None]
    waiting: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    def add(self, *pictures: np.ndarray) -> None:
        self.waiting.append(pictures)
        if len(self.waiting) == BATCH:
            self.flush()

    def flush(self) -> None:
        if self.waiting:
            self.use(self.waiting)
            self.waiting = []


def _reference_of(task: Task) -> Subject:
    if task.reference is None:
        raise _NoUseError("no reference given")
    return task.reference


class _FaceBoxes:
    """The face boxes of both pictures in every fifth moment in which the reference's face was seen."""

    def __init__(self, task: Task) -> None:
        self._reference = _reference_of(task)

    def of(self, moment: Moment) -> tuple[np.ndarray, np.ndarray] | None:
        from talkingface.metrics.picture import square_box

        k, truth = moment.number, moment.reference
        if k % EVERY or truth is None or not self._reference.seen[k]:
            return None
        face = square_box(self._reference.points[k], (truth.shape[1], truth.shape[0]))
        return face.cut(moment.generated), face.cut(truth)


class _Lpips:
    def __init__(self, task: Task, backbone: str) -> None:
        from talkingface.metrics.lpips import LpipsMeter

        self._boxes = _FaceBoxes(task)
        self._meter = LpipsMeter.load(backbone)  # type: ignore[arg-type]
        self._key = "picture.lpips" if backbone == "alex" else f"picture.lpips_{backbone}"
        self._rows = np.full(len(task.generated), np.nan)
        self._at: list[int] = []
        self._values: list[float] = []
        self._batches = _Batches(self._measure)

    def see(self, moment: Moment) -> None:
        if (faces := self._boxes.of(moment)) is not None:
            self._at.append(moment.number)
            self._batches.add(*faces)

    def _measure(self, pairs: Sequence[tuple[np.ndarray, ...]]) -> None:
        generated, reference = zip(*pairs, strict=True)
        self._values += self._meter.distances(generated, reference).tolist()

    def finish(self, figures: Figures) -> dict[str, np.ndarray]:
        self._batches.flush()
        self._rows[self._at] = self._values
        figures.put(self._key, float(np.mean(self._values)) if self._values else np.nan, self._rows)
        return {}


class _Fid:
    def __init__(self, task: Task) -> None:
        from talkingface.metrics.inception import InceptionMeter

        self._boxes = _FaceBoxes(task)
        self._meter = InceptionMeter.load()
        self._features: dict[str, list[np.ndarray]] = {name: [] for name in FID_ARRAYS}
        self._batches = _Batches(self._measure)

    def see(self, moment: Moment) -> None:
        import cv2

        from talkingface.metrics.inception import SIDE_PX

        if (faces := self._boxes.of(moment)) is not None:
            # boxes differ in size from frame to frame; a batch must not
            self._batches.add(*(cv2.resize(f, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR) for f in faces))

    def _measure(self, pairs: Sequence[tuple[np.ndarray, ...]]) -> None:
        for name, pictures in zip(FID_ARRAYS, zip(*pairs, strict=True), strict=True):
            self._features[name].append(self._meter.features(pictures))

    def finish(self, figures: Figures) -> dict[str, np.ndarray]:
        from talkingface.metrics.frechet import frechet_distance

        self._batches.flush()
        if not self._features[FID_ARRAYS[0]]:
            figures.miss("the reference's face was not seen", "picture.fid")
            return {}
        kept = {name: np.concatenate(parts) for name, parts in self._features.items()}
        figures.put("picture.fid", frechet_distance(*kept.values()))
        return kept


class _Csim:
    def __init__(self, task: Task) -> None:
        from talkingface.metrics.arcface import ArcFaceMeter

        if task.reference is None and task.source is None:
            raise _NoUseError("no reference and no source photo given")
        self._meter = ArcFaceMeter.load()
        self._generated, self._reference = task.generated, task.reference
        self._photo = self._photo_features(task.source) if task.reference is None and task.source else None
        self._at: list[int] = []
        self._values: list[float] = []
        self._batches = _Batches(self._measure)

    def _photo_features(self, source: Path) -> np.ndarray:
        from talkingface.face.track import track_image
        from talkingface.metrics.arcface import aligned_face
        from talkingface.video.image import read_image

        rgb = read_image(source).rgb
        return self._meter.features([aligned_face(rgb, track_image(rgb).landmarks)])

    def see(self, moment: Moment) -> None:
        from talkingface.metrics.arcface import aligned_face

        k, picture, truth = moment.number, moment.generated, moment.reference
        if k % EVERY or not self._generated.seen[k] or (self._reference is not None and not self._reference.seen[k]):
            return
        self._at.append(k)
        faces = [aligned_face(picture, self._generated.points_in(picture, k))]
        if self._reference is not None and truth is not None:
            faces.append(aligned_face(truth, self._reference.points[k]))
        self._batches.add(*faces)

    def _measure(self, faces: Sequence[tuple[np.ndarray, ...]]) -> None:
        made, *true = (self._meter.features(part) for part in zip(*faces, strict=True))
        self._values += (made * (true[0] if true else self._photo)).sum(1).tolist()

    def finish(self, figures: Figures) -> dict[str, np.ndarray]:
        self._batches.flush()
        rows = np.full(len(self._generated), np.nan)
        rows[self._at] = self._values
        figures.put("identity.csim", float(np.mean(self._values)) if self._values else np.nan, rows)
        return {}


class _SyncNet:
    def __init__(self, task: Task) -> None:
        from talkingface.metrics.syncnet import SyncNetMeter, face_boxes

        if task.samples is None:
            raise _NoUseError("there is no sound")
        self._samples = task.samples
        first = SyncNetMeter.load()
        self._subjects = [("", task.generated, face_boxes(task.generated.points), first)]
        if task.reference is not None:
            boxes = face_boxes(task.reference.points)
            self._subjects.append((".reference", task.reference, boxes, first.another()))

    def see(self, moment: Moment) -> None:
        from talkingface.metrics.syncnet import face_view

        for suffix, subject, boxes, meter in self._subjects:
            picture = moment.generated if not suffix else moment.reference
            if picture is not None:
                meter.add(face_view(picture, boxes[moment.number] * picture.shape[1] / subject.size[0]))

    def finish(self, figures: Figures) -> dict[str, np.ndarray]:
        for suffix, _, _, meter in self._subjects:
            found = meter.finish(self._samples)
            figures.put(f"sync.lse_d{suffix}", found.distance)
            figures.put(f"sync.lse_c{suffix}", found.confidence)
            figures.put(f"sync.av_offset{suffix}", found.offset)
        return {}


KINDS: tuple[_Kind, ...] = (
    _Kind(
        weights="lpips.alex",
        keys=("picture.lpips",),
        name="LPIPS",
        importing="lpips alexnet-owt-7be5be79.pth alex.pth",
        watcher=lambda task: _Lpips(task, "alex"),
    ),
    _Kind(
        weights="lpips.vgg",
        keys=("picture.lpips_vgg",),
        name="LPIPS",
        importing="lpips vgg16-397923af.pth vgg.pth",
        watcher=lambda task: _Lpips(task, "vgg"),
    ),
    _Kind(
        weights="fid.inception",
        keys=("picture.fid",),
        name="FID",
        importing="inception pt_inception-2015-12-05-6726825d.pth",
        watcher=_Fid,
    ),
    _Kind(
        weights="csim.arcface",
        keys=("identity.csim",),
        name="CSIM",
        importing="arcface backbone.pth",
        watcher=_Csim,
    ),
    _Kind(
        weights="syncnet.v2",
        keys=("sync.lse_d", "sync.lse_c", "sync.av_offset"),
        name="SyncNet",
        importing="syncnet syncnet_v2.model",
        watcher=_SyncNet,
    ),
)
